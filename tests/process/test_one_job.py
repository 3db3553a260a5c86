"""The whole way of one job, as a user goes it."""

from pathlib import Path

from PIL import Image

from tests.support.in_process import InProcess
from tests.support.program import Program


def test_from_an_empty_folder_to_a_finished_picture(program: Program, picture: Path) -> None:
    job_id = program.submit("image_resize", picture, "-p", "width=320", "-p", "height=200")
    once = program.ok("once", "-f", "json").json

    output = program.server_dir / "compute/jobs" / job_id / "output/photo.jpg"
    assert (once["job_id"], once["status"], once["error_message"]) == (job_id, "completed", None)
    assert once["output"]["processed_files"] == [str(output)]
    assert once["seconds"] > 0
    with Image.open(output) as resized:
        assert resized.size == (320, 200)
    assert sorted(path.name for path in output.parent.iterdir()) == ["photo.jpg"]


def test_nothing_waits(command: InProcess) -> None:
    empty = command.ok("once")
    assert (empty.stdout, empty.stderr) == ("", "")
    assert command.run("once", "--fail-when-empty").code == 3


def test_the_result_is_one_line_for_people(command: InProcess, picture: Path) -> None:
    job_id = command.ok("jobs", "submit", "image_conversion", picture, "-p", "format=webp").stdout.strip()
    line = command.ok("once").stdout
    assert line.startswith(f"{job_id} image_conversion completed in ")
    assert line.count("\n") == 1
