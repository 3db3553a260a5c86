"""The result line of one job, shared by ``once`` and ``jobs submit --wait``."""

import click

from clworker.cli import exits
from clworker.cli.render import print_thing
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus
from clworker.core.printable import printable


def print_result(job: ComputeJob, output_format: str) -> None:
    """Print how a job ended: a line for people, or the fields that scripts read."""
    if output_format == "table":
        click.echo(printable(result_line(job)))
        return
    fields = {
        "job_id": job.job_id,
        "task_type": job.task_type,
        "status": job.status,
        "seconds": job.seconds if job.is_final else None,
        "output": job.output,
        "error_message": job.error_message,
    }
    print_thing(fields, output_format)


def result_line(job: ComputeJob) -> str:
    """Say how a job ended, for people."""
    took = "" if job.seconds is None or not job.is_final else f" in {job.seconds:.2f} s"
    said = f": {job.error_message}" if job.error_message else ""
    return f"{job.job_id} {job.task_type} {job.status}{took}{said}"


def exit_code_of(job: ComputeJob) -> int:
    """Return 0 for a completed job, 1 for every other end."""
    return exits.DONE if job.status == ComputeJobStatus.COMPLETED else exits.NOT_COMPLETED
