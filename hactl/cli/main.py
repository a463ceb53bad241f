"""`hactl`: the entry point, and how errors end it. The commands are in `app.py`."""

from __future__ import annotations

import os
import sys

from election.store import StoreError
from fencing.linux.umask import keep_private
from hactl.cli.common import BAD_INPUT, FAILED, CliError, tell
from hactl.config.errors import ConfigErrors


def run() -> None:
    """Entry point of `hactl`. Its files are for its user alone; its children have the umask that it was given."""
    keep_private()
    try:
        _command()
    except CliError as error:
        _end(str(error), error.status)
    except ConfigErrors as error:
        _end("\nerror: ".join(str(problem) for problem in error.problems), BAD_INPUT)
    except StoreError as error:
        _end(f"the store: {error}", FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the output has ended; the interpreter must not complain when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # such as a full disk
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), FAILED)


def _command() -> None:
    """Carry out the command. A plain `hactl status` goes past typer, whose import takes longer than the answer."""
    for argument in sys.argv[1:]:
        if any("\ud800" <= char <= "\udfff" for char in argument):
            raise CliError(f"the argument {argument} is not UTF-8: write it in UTF-8", BAD_INPUT)
    if sys.argv[1:] in (["status"], ["status", "--json"]):
        from hactl.cli.fast_status import show_status  # noqa: PLC0415

        show_status(as_json=sys.argv[2:] == ["--json"])
        return
    if sys.argv[1:] == ["status", "--check"]:
        from hactl.cli.fast_status import check_status  # noqa: PLC0415

        sys.exit(check_status())
    from hactl.cli.app import app  # noqa: PLC0415

    app(prog_name="hactl")


def _end(message: str, status: int) -> None:
    tell(f"error: {message}")
    sys.exit(status)


if __name__ == "__main__":
    run()
