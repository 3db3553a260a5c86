"""The one place where an error becomes a line on stderr and an exit code."""

import io
import os
import signal
import sys

import click

from clworker.cli.hints import with_hint
from clworker.core.app import setup
from clworker.core.errors import (
    BrokerUnavailable,
    ClworkerError,
    DatabaseTrouble,
    Interrupted,
    SettingsError,
    UsageFault,
)
from clworker.core.printable import printable
from clworker.core.secrets import masked

DONE = 0
NOT_COMPLETED = 1
USAGE = 2
NOTHING_WAITED = 3
UNAVAILABLE = 69
INTERNAL = 70
SIGNALLED = 128
"""Added to the number of the signal that stopped the program."""

_CODES: dict[type[ClworkerError], int] = {
    SettingsError: USAGE,
    UsageFault: USAGE,
    DatabaseTrouble: UNAVAILABLE,
    BrokerUnavailable: UNAVAILABLE,
}


def run_to_exit_code(command: click.Command) -> int:
    """Run the command; tell every failure in one line each and return the exit code."""
    _prepare_streams()
    stdout = sys.stdout
    try:
        code = command.main(prog_name="clworker", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except BrokenPipeError:
        # The reader of a pipe has seen enough.
        _give_up_stdout()
        return SIGNALLED + signal.SIGPIPE
    except SystemExit:
        # click answers a broken pipe by exchanging sys.stdout and leaving with 1, as a failed check does.
        if sys.stdout is not stdout:
            return SIGNALLED + signal.SIGPIPE
        raise
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return SIGNALLED + signal.SIGINT
    except click.ClickException as failure:
        say(with_hint(failure))
        return failure.exit_code
    except SettingsError as failure:
        for fault in failure.faults:
            say(fault)
        return USAGE
    except Interrupted as failure:
        say(str(failure))
        return SIGNALLED + failure.signal_number
    except ClworkerError as failure:
        say(str(failure))
        return next((code for kind, code in _CODES.items() if isinstance(failure, kind)), NOT_COMPLETED)
    except Exception as failure:
        setup.log_internal_error(failure)
        say(f"internal error: {type(failure).__name__}: {failure}; the log above has the traceback")
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_stdout()
        return INTERNAL


def _give_up_stdout() -> None:
    # What is left in the buffer would make Python complain at its own exit, and change the exit code.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_streams() -> None:
    # One that is closed (`>&-`) is None.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(message: str) -> None:
    """Print an ``Error:`` line, for what is wrong with one of several things that were asked for."""
    folded = " ".join(masked(message).split())
    click.echo(f"Error: {printable(folded)}", err=True)
