"""A command again and again in one process: what it does, without the start of the program.

A program of its own: commands.py TIMES ARGUMENT…, which prints the median in milliseconds.
"""

import os
import statistics
import sys
import time

from clworker.__main__ import main


def milliseconds(arguments: list[str]) -> float:
    """Run the command once; end this program when it fails."""
    sys.argv = ["clworker", *arguments]
    begun = time.perf_counter()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    return (time.perf_counter() - begun) * 1000


def measure(times: int, arguments: list[str]) -> None:
    """Print the median; what the command itself prints is dropped."""
    ours = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    milliseconds(arguments)  # imports
    median = statistics.median(milliseconds(arguments) for _ in range(times))
    os.write(ours, f"{median}\n".encode())


if __name__ == "__main__":
    measure(int(sys.argv[1]), sys.argv[2:])
