"""Log-probabilities that are means over tokens where sums are needed: seen by their size and growth, and converted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.container import Samples
from klimit.samples.lazy import peek

Array = NDArray[np.float64]

_PARTS = ("logprob", "ref_logprob")
_SUMS = ("logprob", "ref_logprob", "token_kl", "sampling_logprob")
# Texts are read for their lengths alone: a few thousand tell.
_TEXTS = 4000
_LETTERS_PER_TOKEN = 4.0
# Shorter completions have sums and means too much alike.
_FEWEST_TOKENS = 20.0
# Nats a token: models that are sampled from have less; sums over 20 tokens seldom do.
_LARGEST_MEAN = 4.0
# Sums grow like length to the power 1, means like 0.
_BETWEEN = 0.5
_ERRORS = 3.0
# Nats a token: less than even collapsed policies have, under both models.
_TINY = 0.01


@dataclass(frozen=True)
class Growth:
    """How values grow with length: like ``tokens ** exponent``, and its standard error."""

    exponent: float
    error: float

    @property
    def like_means(self) -> bool:
        """Growth that sums cannot have."""
        return self.exponent < _BETWEEN and self.exponent + _ERRORS * self.error < 1.0

    @property
    def like_sums(self) -> bool:
        """Growth that means cannot have."""
        return self.exponent > _BETWEEN and self.exponent - _ERRORS * self.error > 0.0


def check_token_means(samples: Samples) -> tuple[str, ...]:
    """Refuse log-probabilities that look like token means; doubts that are left come back as lines.

    Values given per token were summed in reading and are beyond doubt. In the others means show in two ways, both
    needed, and for both log-probabilities: they are small (4 nats at most for completions of 20 tokens or more), and
    do not grow with the number of tokens, compared within prompts. Sums grow in proportion, however little entropy a
    model has.

    Raises:
        InputError: with the values, the typical number of tokens, and the two ways on.
    """
    parts = [part for part in _PARTS if part not in samples.per_token and getattr(samples, part) is not None]
    known = _lengths(samples) if parts else None
    if known is None:
        return ()
    places, tokens = known
    typical = float(np.median(tokens))
    values = [-np.asarray(getattr(samples, part), dtype=np.float64)[places] for part in parts]
    sizes = [float(one.mean()) for one in values]
    if typical < _FEWEST_TOKENS or max(sizes) >= _LARGEST_MEAN:
        return ()
    prompt = np.repeat(np.arange(samples.n_prompts), samples.counts)[places]
    growths = [growth(one, tokens, prompt) for one in values]
    said = (
        f"{' and '.join(f'{-size:.3g}' for size in sizes)} nats on average for completions of "
        f"{'' if samples.n_tokens is not None else 'about '}{typical:.0f} tokens "
        f"({' and '.join(f'{size / typical:.2g}' for size in sizes)} a token)"
    )
    if all(one.like_means for one in growths):
        look = "look like means" if len(parts) > 1 else "looks like a mean"
        raise InputError(
            f"{samples.source}: {' and '.join(parts)} {look} over tokens: {said}, and no larger for longer ones, as "
            "sums would be; token_means=True (--token-means) multiplies by the number of tokens, token_means=False "
            "(--token-sums) asserts that these are sums"
        )
    if max(sizes) / typical < _TINY and not all(one.like_sums for one in growths):
        return (
            f"{' and '.join(parts)} may be means over tokens: {said}; if so, token_means=True (--token-means) "
            "multiplies by the number of tokens",
        )
    return ()


def from_token_means(samples: Samples) -> Samples:
    """Sums over tokens from means over tokens: every score but those given per token, times its number of tokens.

    Raises:
        InputError: the numbers of tokens are not known, or there is nothing to multiply.
    """
    parts = [part for part in _SUMS if getattr(samples, part) is not None and part not in samples.per_token]
    if not parts:
        why = "were given per token, and summed" if samples.per_token else "are missing"
        raise InputError(f"{samples.source}: token_means=True multiplies log-probabilities, but they {why}")
    if samples.n_tokens is None:
        held = next((why.reason for why in samples.held.values() if why.part in ("n_tokens", "tokens")), None)
        raise InputError(
            held
            or f"{samples.source}: token_means=True needs the number of tokens of each completion: a column n_tokens, "
            "or the ids in completion_token_ids"
        )
    sums: dict[str, Any] = {
        part: np.asarray(getattr(samples, part), dtype=np.float64) * samples.n_tokens for part in parts
    }
    note = f"token means: multiplied {', '.join(parts)} by the number of tokens"
    return replace(samples, **sums, notes=(*samples.notes, note))


def growth(values: Array, tokens: Array, prompt: NDArray[np.int64]) -> Growth:
    """How values grow with the number of tokens, between the shorter and the longer completions of each prompt.

    The halves are compared by the ratio of their means; with one completion a prompt they are halves of them all. The
    standard error is that of completions drawn prompt by prompt.

    Args:
        values: at least 0, shape ``(n,)``.
        tokens: shape ``(n,)``.
        prompt: the prompt of each, shape ``(n,)``.
    """
    middle = _medians(tokens, prompt)
    if (tokens == middle).all():  # no prompt has two lengths
        middle = np.full(len(tokens), np.median(tokens))
    longer, shorter = tokens > middle, tokens < middle
    if not longer.any() or not shorter.any() or min(values[longer].sum(), values[shorter].sum()) <= 0.0:
        return Growth(np.nan, np.inf)
    log_lengths = np.log(tokens[longer].mean() / tokens[shorter].mean())
    means = values[longer].mean(), values[shorter].mean()
    influence = np.zeros(len(values))
    influence[longer] = (values[longer] / means[0] - 1.0) / longer.sum()
    influence[shorter] = -(values[shorter] / means[1] - 1.0) / shorter.sum()
    by_prompt = np.bincount(prompt, weights=influence)
    # Few prompts do not show the error between them.
    terms = by_prompt if np.count_nonzero(np.bincount(prompt)) >= 20 else influence
    error = float(np.sqrt((terms**2).sum()))
    return Growth(float(np.log(means[0] / means[1]) / log_lengths), error / float(log_lengths))


def _medians(tokens: Array, prompt: NDArray[np.int64]) -> Array:
    """The median number of tokens of each completion's prompt."""
    order = np.lexsort((tokens, prompt))
    _, start, inverse, n = np.unique(
        prompt[order], return_index=True, return_inverse=True, return_counts=True
    )
    ranked = tokens[order]
    middle = (ranked[start + (n - 1) // 2] + ranked[start + n // 2]) / 2.0
    found = np.empty(len(tokens))
    found[order] = middle[inverse]
    return found


def _lengths(samples: Samples) -> tuple[NDArray[np.int64], Array] | None:
    """Tokens of completions and which ones these are: counted, or guessed from some texts; None without either."""
    if samples.n_tokens is not None:
        return np.arange(samples.n_completions), samples.n_tokens.astype(np.float64)
    if samples.completions is None:
        return None
    places, texts = peek(samples.completions, _TEXTS)
    known = np.array([isinstance(text, str) for text in texts], dtype=bool)
    letters = np.array([len(text) for text in texts[known]], dtype=np.float64)
    return (places[known], letters / _LETTERS_PER_TOKEN) if len(letters) else None
