"""What klimit raises and warns with: one line that says what is wrong, where, and how to mend it."""


class InputError(ValueError):
    """The samples, columns or options given cannot be used; the message says why, where and what to do."""


class KlimitWarning(UserWarning):
    """The answer stands, but with a limitation that the reader should know."""
