"""Queue a job, follow it to its end, and say where the picture is.

    CL_SERVER_DIR=/srv/cl python watch_job.py photo.jpg

A worker must run somewhere, or `clworker once` be called meanwhile.
"""

import sys
from pathlib import Path

from clworker.core import JobClient, load_settings
from clworker.core.errors import ClworkerError


def main(picture: Path) -> int:
    """Return 0 when the job has completed."""
    try:
        with JobClient(load_settings({})) as client:
            queued = client.submit("image_resize", [picture], {"width": 320, "height": 240})
            for job in client.watch(queued.job_id, timeout=300):
                print(f"{job.status} {job.progress} %", flush=True)
    except (ClworkerError, TimeoutError) as failure:
        print(f"Error: {failure}", file=sys.stderr)
        return 1
    print(job.error_message or job.params["output_paths"][0])
    return 0 if job.status == "completed" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
