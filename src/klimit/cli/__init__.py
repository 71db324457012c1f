"""The command line: one file a command."""


def main() -> None:
    """Run ``klimit`` with the arguments of the process, and exit with its status."""
    import sys

    try:
        from klimit.cli.entry import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
