"""Where `rotatorctl` begins, and `python -m rotatorctl` in a checkout."""

import sys


def main() -> None:
    """The entry point of the installed package. Ends the process."""
    try:
        from rotatorctl.cli import cli  # noqa: PLC0415  reading the modules takes a moment, in which Ctrl-C may come

        cli(prog_name="rotatorctl")
    except KeyboardInterrupt:
        sys.exit("Aborted!")
    except OSError as error:
        # Of a help text, or the version: what a command cannot print it tells itself.
        from rotatorctl.render import drop  # noqa: PLC0415  as above

        drop(sys.stdout)
        sys.exit(f"It could not be written to standard output: {error.strerror}.")


if __name__ == "__main__":
    main()
