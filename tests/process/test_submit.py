"""``jobs submit``: what is checked, what is staged and written, and that a failure leaves nothing."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from clworker.core import submission
from clworker.core.environment import load_settings
from clworker.core.models.jobs import ComputeJob, NewJob
from clworker.core.models.requests import JobRequest
from clworker.core.store.store import Store
from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.program import Program
from tests.support.waiting import wait_until

RESIZE = ("image_resize", "-p", "width=32", "-p", "height=20")
SCHEMA = """
class Params(BaseModel):
    text: str = ""
    maybe: str | None = None
    number: float = Field(1.0, le=100)
    ratio: float = 1.0
    flag: bool = False
    whatever: object = None
    format: str = "txt"
"""


def rows(program: Program) -> list[dict[str, object]]:
    path = program.server_dir / "media_store.db"
    return databases.rows(path, "SELECT * FROM jobs ORDER BY id") if path.exists() else []


def staged(program: Program) -> list[str]:
    return sorted(str(path.relative_to(program.server_dir)) for path in program.server_dir.glob("compute/jobs/**/*"))


def assert_nothing_left(program: Program) -> None:
    assert (rows(program), staged(program)) == ([], [])


def test_stages_the_input_writes_the_row_and_prints_the_id(program: Program, picture: Path) -> None:
    result = program.ok("jobs", "submit", *RESIZE, picture, "--priority", "7")
    job_id = result.stdout.removesuffix("\n")
    folder = program.server_dir / "compute/jobs" / job_id
    (row,) = rows(program)
    assert (result.stdout, result.stderr) == (f"{row['job_id']}\n", "")
    assert (row["task_type"], row["status"], row["priority"], row["progress"]) == ("image_resize", "queued", 7, 0)
    assert (row["retry_count"], row["max_retries"], row["output"], row["started_at"]) == (0, 3, None, None)
    assert program.show(job_id)["params"] == {
        "width": 32,
        "height": 20,
        "input_paths": [str(folder / "input/photo.jpg")],
        "output_paths": [str(folder / "output/photo.jpg")],
    }
    assert (folder / "input/photo.jpg").read_bytes() == picture.read_bytes()
    assert staged(program) == [f"compute/jobs/{job_id}{part}" for part in ("", "/input", "/input/photo.jpg")]


def test_json_is_the_job_as_an_object(command: InProcess, picture: Path) -> None:
    job = command.ok("jobs", "submit", *RESIZE, picture, "-f", "json").json
    assert command.ok("jobs", "show", job["job_id"], "-f", "json").json == {**job, "attempts": []}
    assert (job["status"], job["priority"], job["created_by"]) == ("queued", 5, None)


def test_names_of_inputs_and_outputs(
    command: InProcess, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a/x.jpg", "b/x.jpg", "c/x.png", "d/größer 1.jpeg", os.fsdecode(b"e/\xff.jpg")]
    for name in names:
        (tmp_path / name).parent.mkdir()
        photo(tmp_path / name, (8, 8))
    monkeypatch.chdir(tmp_path)
    args = ["jobs", "submit", "image_conversion", *names, "-p", "format=webp", "--output-dir", "a/../out", "-f", "json"]
    params = command.ok(*args).json["params"]
    outputs = ["x.webp", "x-2.webp", "x-3.webp", "größer 1.webp", os.fsdecode(b"\xff.webp")]
    assert params["output_paths"] == [str(tmp_path / "a/../out" / name) for name in outputs]
    inputs = list(map(Path, params["input_paths"]))
    assert [path.name for path in inputs] == ["x.jpg", "x-2.jpg", "x.png", "größer 1.jpeg", os.fsdecode(b"\xff.jpg")]
    assert [path.read_bytes() for path in inputs] == [(tmp_path / name).read_bytes() for name in names]
    assert not (tmp_path / "out").exists()


def test_an_absolute_output_folder_that_a_worker_may_use(command: InProcess, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command.ok("jobs", "submit", *RESIZE, picture, "--output-dir", out)
    command.ok("once", "--allow-dir", tmp_path)
    with Image.open(out / "photo.jpg") as resized:
        assert resized.size == (32, 20)


def test_values_of_parameters(command: InProcess, plugins: PluginFolder) -> None:
    plugins.install_task("typed", "return {'status': 'ok', 'task_output': {}}", schema="Params", header=SCHEMA)
    texts = ["text=12", "maybe=null", "number=2", "flag=true", 'whatever=[1, "é"]']
    args = [part for text in texts for part in ("-p", text)]
    job = command.ok("jobs", "submit", "typed", *args, "-f", "json").json
    assert job["params"] == {"text": "12", "maybe": "null", "number": 2.0, "flag": True, "whatever": [1, "é"]}
    job = command.ok("jobs", "submit", "typed", "-p", "whatever=no JSON=1", "-p", "text=", "-f", "json").json
    assert job["params"] == {"whatever": "no JSON=1", "text": ""}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((*RESIZE, "gone.jpg"), ["not found", "gone.jpg"]),
        (("image_resize", "photo.jpg", "width=8"), ["not found: width=8; a parameter is given with -p width=8"]),
        ((*RESIZE, "."), ["folder"]),
        ((*RESIZE, "photo.jpg", "gone\x1b[31m"), [r"gone\x1b[31m"]),
        ((*RESIZE,), ["at least one input"]),
        ((*RESIZE, "photo.jpg", "-p", "width=1"), ["width", "twice"]),
        ((*RESIZE, "photo.jpg", "-p", "widht=1"), ["'widht'", "width"]),
        ((*RESIZE, "photo.jpg", "-p", "=1"), ["name=value"]),
        ((*RESIZE, "photo.jpg", "-p", "width"), ["name=value"]),
        ((*RESIZE, "photo.jpg", "-p", 'input_paths=["/etc/passwd"]'), ["input_paths"]),
        ((*RESIZE, "photo.jpg", "-p", "output_paths=[]"), ["output_paths"]),
        ((*RESIZE, "photo.jpg", "--priority", "11"), ["--priority", "11"]),
        ((*RESIZE, "photo.jpg", "--priority", "-1"), ["--priority", "-1"]),
        ((*RESIZE, "photo.jpg", "--output-dir", "photo.jpg"), ["--output-dir", "file"]),
        (("image_resize", "photo.jpg", "-p", "width=wide", "-p", "height=x"), ["width", "'wide'", "height"]),
        (("image_resise", "photo.jpg"), ["'image_resise'", "did you mean 'image_resize'?"]),
        (("\udcff", "photo.jpg"), ["no installed plugin"]),
        ((), ["TASK"]),
    ],
)
def test_what_is_refused_leaves_nothing(
    command: InProcess, program: Program, picture: Path, args: tuple[str, ...], words: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(picture.parent)
        (error,) = command.refused(2, "jobs", "submit", *args)
    for word in words:
        assert word in error
    assert_nothing_left(program)


@pytest.mark.parametrize(
    ("schema", "args", "words"),
    [
        ("Params", ["-p", "ratio=NaN"], ["ratio", "JSON"]),
        ("Params", ["-p", "number=101"], ["number", "100", "got 101"]),
        ("Params", ["photo.jpg"], ["no input files"]),
        ("BaseModel", [], ["schema"]),
    ],
)
def test_a_task_that_takes_no_files(
    command: InProcess,
    plugins: PluginFolder,
    program: Program,
    picture: Path,
    schema: str,
    args: list[str],
    words: list[str],
) -> None:
    plugins.install_task("typed", "return {}", schema=schema, header=SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(picture.parent)
        (error,) = command.refused(2, "jobs", "submit", "typed", *args)
    for word in words:
        assert word in error
    assert_nothing_left(program)


def test_storage_or_input_without_permission(program: Program, picture: Path, tmp_path: Path) -> None:
    user = program.without_root_powers()
    storage = tmp_path / "storage"
    storage.mkdir(mode=0o555)
    result = user.run("jobs", "submit", *RESIZE, picture, COMPUTE_STORAGE_DIR=str(storage))
    assert (result.code, result.stdout, len(result.errors)) == (1, "", 1)
    assert "Permission denied" in result.errors[0] and str(storage) in result.errors[0]
    picture.chmod(0)
    result = user.run("jobs", "submit", *RESIZE, picture)
    assert (result.code, result.stdout) == (2, "")
    assert len(result.errors) == 1 and f"'{picture}' is not readable" in result.errors[0]
    assert list(storage.iterdir()) == []
    assert_nothing_left(program)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounting.returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills(command: InProcess, program: Program, small_disk: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(2 << 20))
    inputs = (photo(tmp_path / "small.jpg", (8, 8)), large)
    (error,) = command.refused(1, "jobs", "submit", *RESIZE, *inputs, COMPUTE_STORAGE_DIR=str(small_disk))
    assert "No space left on device" in error
    assert list(small_disk.glob("jobs/*")) == []
    assert rows(program) == []


def test_a_database_that_refuses_the_row(command: InProcess, program: Program, picture: Path, database: Path) -> None:
    command.ok("jobs")
    databases.execute(
        database, "CREATE TRIGGER no BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'closed today'); END"
    )
    (error,) = command.refused(69, "jobs", "submit", *RESIZE, picture)
    assert "closed today" in error
    assert_nothing_left(program)


def test_a_killed_submit_leaves_no_job_without_its_input(
    program: Program, picture: Path, store: Store, database: Path
) -> None:
    with databases.locked(database), program.start("jobs", "submit", *RESIZE, picture) as running:
        wait_until(lambda: any(name.endswith("photo.jpg") for name in staged(program)), "the input is staged")
        running.signal(signal.SIGKILL)
        assert running.result().stdout == ""
    assert rows(program) == []


class InterruptedStore:
    """Passes everything on, and has Ctrl-C pressed just when the row has been committed."""

    def __init__(self, store: Store) -> None:
        self.jobs = self
        self._jobs = store.jobs

    def add(self, job: NewJob) -> ComputeJob:
        queued = self._jobs.add(job)
        signal.raise_signal(signal.SIGINT)
        return queued


def test_ctrl_c_during_the_commit_keeps_the_input(program: Program, picture: Path, store: Store) -> None:
    settings = load_settings({}, program.environment())
    request = JobRequest("image_resize", (picture,), {}, None, 5)
    with pytest.raises(KeyboardInterrupt):
        submission.submit(
            settings,
            InterruptedStore(store),  # type: ignore[arg-type]
            request,
            submission.PreparedParams({}, takes_files=True, output_format=None),
        )
    (row,) = rows(program)
    assert f"compute/jobs/{row['job_id']}/input/photo.jpg" in staged(program)
