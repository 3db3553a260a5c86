"""A service that queues a job, waits for its end, and queues the next one, by clworker's own client.

A program of its own: submits.py TIMES TASK_TYPE, which prints for each job the monotonic times
in nanoseconds of the call, of its return, and of the task's first line.
"""

import sys
import time

from clworker.core import JobClient, load_settings

_SETTLING = 0.05
_LOOK = 0.01


def main(times: int, task_type: str) -> None:
    """Queue so many jobs, and one before that is not counted."""
    with JobClient(load_settings({})) as client:
        for number in range(times + 1):
            time.sleep(_SETTLING)
            begun = time.monotonic_ns()
            job = client.submit(task_type)
            returned = time.monotonic_ns()
            while (found := client.get(job.job_id)) is None or not found.is_final:
                time.sleep(_LOOK)
            if number:
                print(begun, returned, found.output["started"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
