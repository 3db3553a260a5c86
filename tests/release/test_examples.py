"""The wheel, installed: enough by itself, and what readers copy from the examples works with it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import clworker
from clworker import core
from tests.support.waiting import wait_until
from tools.release_check import ROOT, Environment, try_out

EXAMPLES = ROOT / "examples"
SERVICE = """
import sys, time
from pathlib import Path
from fastapi.testclient import TestClient
from clworker.core import load_settings, run_once
from service import app

photo = Path("photo.jpg").read_bytes()
with TestClient(app) as web:
    size = {"width": 80, "height": 60}
    answer = web.post("/pictures/photo.jpg", params=size, content=photo, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 202, answer.text
    job = f"/jobs/{answer.json()['job_id']}"
    assert web.get(job).json() == {"status": "queued", "progress": 0, "error": None}
    assert web.get(f"{job}/picture").status_code == 409
    assert run_once(load_settings({})).status == "completed"
    assert web.get(f"{job}/progress").text == "completed 100\\n"
    Path("small.jpg").write_bytes(web.get(f"{job}/picture").content)
    refused = web.post("/pictures/photo.jpg", params={"width": 80, "height": 60}, content=b"")
    assert refused.status_code == 422, refused.text
    assert web.post("/pictures/photo.exe", params=size, content=photo).status_code == 415
    assert web.get("/jobs/none").status_code == 404
"""


@pytest.fixture
def folder(tmp_path: Path, picture: Path) -> Path:
    """A working folder with the examples and a photo, away from the source."""
    for path in EXAMPLES.glob("library/*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def settings(folder: Path) -> dict[str, str]:
    return {"CL_SERVER_DIR": str(folder / "server"), "BROADCAST_TYPE": "noop"}


def clworker_json(environment: Environment, folder: Path, settings: dict[str, str], *args: str) -> Any:
    return json.loads(environment.run("python", "-m", "clworker", *args, "-f", "json", cwd=folder, **settings))


def test_the_wheel_alone_finishes_a_picture(installed: Environment, tmp_path: Path) -> None:
    job = try_out(installed, tmp_path)
    assert (job["task_type"], job["status"]) == ("image_resize", "completed")
    assert installed.run("clworker", "--version", cwd=tmp_path).split()[-1] == clworker.__version__
    assert (installed.folder / "share" / "man" / "man1" / "clworker.1").is_file()


def test_it_is_the_wheel_that_is_tried(with_examples: Environment, folder: Path) -> None:
    place = with_examples.run("python", "-c", "import clworker; print(clworker.__file__)", cwd=folder)
    assert "site-packages" in place and place.strip() != clworker.__file__


def test_the_example_plugin_makes_a_sheet(with_examples: Environment, folder: Path, settings: dict[str, str]) -> None:
    options = ("-p", "sizes=[100, 50]", "--margin", "10", "--background", "#204060")
    command = ("python", "-m", "clworker", "jobs", "submit", "thumbnail_sheet", "photo.jpg", *options)
    with_examples.run(*command, cwd=folder, **settings)
    job = clworker_json(with_examples, folder, settings, "once")
    assert (job["status"], job["output"]["sizes"]) == ("completed", [100, 50])
    with Image.open(job["output"]["sheets"][0]) as sheet:
        assert sheet.size == (10 + 100 + 10 + 50 + 10, 10 + 75 + 10)
        assert sheet.getpixel((2, 2)) == pytest.approx((0x20, 0x40, 0x60), abs=6)
    wrong = ("-p", "sizes=[0]", "--margin", "101", "--background", "greenish")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        with_examples.run(*command[: -len(options)], *wrong, cwd=folder, **settings)
    assert refused.value.returncode == 2
    for fault in ("sizes: each size is 1 to 2000 pixels", "margin: Input should be less", "background: unknown color"):
        assert fault in refused.value.stderr


def test_a_web_service_queues_and_hands_out(with_examples: Environment, folder: Path, settings: dict[str, str]) -> None:
    with_examples.run("python", "-c", SERVICE, cwd=folder, **settings)
    with Image.open(folder / "small.jpg") as small:
        assert small.size == (80, 60)


def test_a_job_is_watched_to_its_end(with_examples: Environment, folder: Path, settings: dict[str, str]) -> None:
    command = [with_examples.python, "watch_job.py", "photo.jpg"]
    with subprocess.Popen(command, cwd=folder, env=settings, stdout=subprocess.PIPE, text=True) as watching:
        jobs = wait_until(lambda: list(folder.glob("server/media_store.db")), "there is a database")
        assert jobs and watching.stdout is not None
        assert watching.stdout.readline() == "queued 0 %\n"
        clworker_json(with_examples, folder, settings, "once")
        *_, last, where = watching.stdout.read().splitlines()
    assert (watching.returncode, last) == (0, "completed 100 %")
    assert Path(where).is_file()


def test_a_project_tests_its_own_dealings_with_the_queue(with_examples: Environment, folder: Path) -> None:
    shown = with_examples.run("python", "-m", "pytest", "-q", "test_my_service.py", cwd=folder)
    assert "1 passed" in shown


def test_types_are_seen_from_outside(with_examples: Environment, folder: Path) -> None:
    """Without anything of ours but the wheel: its ``py.typed`` is what has mypy look into it."""
    (folder / "wrong.py").write_text("from clworker.core import load_settings\n\nload_settings({}).worker_id + 1\n")
    # What is not in question is skipped, which saves most of the time; `make test` checks all examples in full.
    skipped = "[mypy-PIL.*,paho.*,pydantic.*,sqlalchemy.*,structlog.*]\nfollow_imports = skip\n"
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\nfollow_imports = silent\n{skipped}")
    checked = ["watch_job.py", "wrong.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", with_examples.python, *checked],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    first, *_, last = done.stdout.splitlines()
    assert first == 'wrong.py:3: error: Unsupported operand types for + ("str" and "int")  [operator]', done.stdout
    assert last == "Found 1 error in 1 file (checked 2 source files)", done.stdout


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in core.__all__:
        assert (getattr(core, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'Worker'"):
        _ = core.Worker
