"""The program's entry: what ``clworker`` and ``python -m clworker`` start."""

import os
import signal


def main() -> None:
    """Run the command line. Ctrl-C while it is still being imported ends the program without a traceback."""
    try:
        from clworker.cli import main as run
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    run()


if __name__ == "__main__":
    main()
