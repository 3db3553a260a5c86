"""Outputs appear whole or not at all, whatever the task, the disk and the folders do.

One worker without the powers of root runs a task for each way of going wrong; each test
looks at one of them.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.plugins import PluginFolder
from tests.support.program import Drained, Program

OLD, NEW = b"the old content", b"the new content"

PREPARE = """\
output = Path(params.output_paths[0])
real_output = Path(os.path.realpath(output.parent)).parent / output.name
real_input = Path(os.path.realpath(params.input_paths[0]))
"""
WRITE = f"for path in params.output_paths: Path(path).write_bytes({NEW!r})\n"
DONE = "return {'status': 'ok', 'task_output': {'written': params.output_paths, 'read': params.input_paths}}\n"
TASKS = {
    "writes": WRITE + DONE,
    "raises": WRITE + "raise ValueError(f'no room in {output.parent} for {output}, read {params.input_paths[0]}')",
    "reports": WRITE + "return {'status': 'error', 'error': f'cannot use {output.resolve()}\\nat all'}",
    "exits": WRITE + "sys.exit(3)",
    "dies": WRITE + "os._exit(9)",
    "is_killed": WRITE + "os.kill(os.getpid(), signal.SIGKILL)",
    "writes_nothing": DONE,
    "writes_a_link": f"output.symlink_to({__file__!r})\n" + DONE,
    "writes_a_folder": "output.mkdir()\n" + DONE,
    "writes_a_pipe": "os.mkfifo(output)\n" + DONE,
    "writes_more": WRITE + "output.with_name('more.txt').touch()\nos.makedirs(output.parent / 'a/b')\n" + DONE,
    "locks_its_folder": WRITE + "os.makedirs(output.parent / 'a/b')\n(output.parent / 'a').chmod(0o500)\n" + DONE,
    "nests_too_deeply": WRITE + "deep = []\nfor _ in range(700): deep = [deep]\n"
    "return {'status': 'ok', 'task_output': {'deep': deep}}",
    "removes_the_folder": WRITE + "import shutil\nshutil.rmtree(real_output.parent)\n" + DONE,
    "swaps_the_folder": WRITE + "real_output.parent.rename(real_output.parent.with_name('moved'))\n"
    "real_output.parent.symlink_to(os.environ['OUTSIDE'])\n" + DONE,
    "swaps_the_input": WRITE + "real_input.rename(real_input.with_name('moved.txt'))\n"
    "real_input.symlink_to(os.environ['OUTSIDE'] + '/secret')\n"
    "return {'status': 'ok', 'task_output': {'read': Path(params.input_paths[0]).read_text()}}",
    "blocks_the_second": WRITE + "(real_output.parent / 'second.txt').mkdir()\n" + DONE,
}
FAILURES = {
    "raises": "ValueError: no room in {out} for {out}/file.txt, read {media}/raises.txt",
    "reports": "cannot use {out}/file.txt at all",
    "exits": "the task called sys.exit(3)",
    "dies": "the process that ran the job ended with exit code 9 …",
    "is_killed": "the process that ran the job was killed by SIGKILL …",
    "writes_nothing": "the task reported success but did not write {out}/file.txt",
    "writes_a_link": "output is unusable: {out}/file.txt: it is a symbolic link",
    "writes_a_folder": "output is unusable: {out}/file.txt: it is no regular file",
    "writes_a_pipe": "output is unusable: {out}/file.txt: it is no regular file",
    "nests_too_deeply": "the task's output is nested deeper than 200 levels",
}
TWO_OUTPUTS = ("blocks_the_second",)


@dataclass
class Site:
    """The folders and what became of the jobs in them."""

    server: Path
    outside: Path
    drained: Drained

    def out(self, job_id: str) -> Path:
        return self.server / "compute" / job_id

    def media(self) -> Path:
        return self.server / "media"

    def listing(self, job_id: str) -> list[str]:
        return sorted(str(path.relative_to(self.out(job_id))) for path in self.out(job_id).rglob("*"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    base = tmp_path_factory.mktemp("site")
    server, outside = base / "server", base / "outside"
    compute, media = server / "compute", server / "media"
    for folder in (compute / "read_only", media, outside):
        folder.mkdir(parents=True)
    (outside / "secret").write_text("secret")
    plugins = PluginFolder(base / "plugins")
    for name, body in TASKS.items():
        plugins.install_task(name, PREPARE + body)
    plugins.install_task(
        "takes_no_files", "return {'status': 'ok', 'task_output': {}}", "Params", "class Params(BaseModel): pass"
    )
    rows = []

    def add(job_id: str, task_type: str, outputs: list[Path]) -> None:
        source = media / f"{job_id}.txt"
        source.write_text("checked")
        params = {"input_paths": [str(source)] * len(outputs), "output_paths": [str(path) for path in outputs]}
        rows.append({"job_id": job_id, "task_type": task_type, "params": params, "max_retries": 0})

    for name in TASKS:
        names = ["first.txt", "second.txt"] if name in TWO_OUTPUTS else ["file.txt"]
        add(name, name, [compute / name / one for one in names])
    for name in FAILURES:
        add(f"{name} again", name, [compute / "kept" / f"{name}.txt"])
        (compute / "kept").mkdir(exist_ok=True)
        (compute / "kept" / f"{name}.txt").write_bytes(OLD)
    (compute / TWO_OUTPUTS[0]).mkdir()
    (compute / TWO_OUTPUTS[0] / "first.txt").write_bytes(OLD)
    add("deep", "writes", [compute / "deep/a/b/file.txt"])
    add("deep failure", "raises", [compute / "deeper/a/b/file.txt"])
    add("read_only", "writes", [compute / "read_only/file.txt"])
    add("below read_only", "writes", [compute / "read_only/a/file.txt"])
    (compute / "read_only/file.txt").write_bytes(OLD)
    (compute / "read_only").chmod(0o555)
    add("takes_no_files", "takes_no_files", [compute / "none/file.txt"])
    databases.create(server / "media_store.db", "current")
    databases.insert(server / "media_store.db", rows)
    program = Program(server, {"PYTHONPATH": str(plugins.path), "OUTSIDE": str(outside)}).without_root_powers()
    return Site(server, outside, program.drain())


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_task_leaves_nothing(site: Site, name: str) -> None:
    job = site.drained.job(name)
    expected = FAILURES[name].format(out=site.out(name), media=site.media())
    assert (job["status"], job["output"]) == ("error", None)
    message = job["error_message"]
    assert message.startswith(expected[:-1]) if expected.endswith("…") else message == expected
    assert not site.out(name).exists(), "the folder that was made for it"


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_task_leaves_an_existing_output_as_it_was(site: Site, name: str) -> None:
    assert site.drained.job(f"{name} again")["status"] == "error"
    assert (site.out("kept") / f"{name}.txt").read_bytes() == OLD


def test_no_attempt_s_folder_is_left_anywhere(site: Site) -> None:
    # What somebody has moved away while a job ran is nothing that a worker could find again.
    assert [path.parent.name for path in site.server.rglob(".clworker-*")] == ["moved"]
    assert site.listing("kept") == sorted(f"{name}.txt" for name in FAILURES)


def test_output_folders_are_made_and_paths_mapped_back(site: Site) -> None:
    job = site.drained.job("deep")
    output = site.out("deep") / "a/b/file.txt"
    assert (job["status"], job["progress"]) == ("completed", 100)
    assert job["output"] == {"written": [str(output)], "read": [str(site.media() / "deep.txt")]}
    assert output.read_bytes() == NEW


def test_all_folders_made_for_a_failed_job_go(site: Site) -> None:
    assert site.drained.job("deep failure")["status"] == "error"
    assert not site.out("deeper").exists()


@pytest.mark.parametrize("name", ["writes_more", "locks_its_folder"])
def test_what_a_task_writes_beside_its_outputs_is_dropped_with_a_warning(site: Site, name: str) -> None:
    assert site.drained.job(name)["status"] == "completed"
    assert site.listing(name) == ["file.txt"]
    dropped = [line["file"] for line in site.drained.logged(name, "file that is no output was dropped")]
    assert dropped == (["a", "more.txt"] if name == "writes_more" else ["a"])


def test_a_read_only_folder_is_said_to_be_one(site: Site) -> None:
    folder = site.out("read_only")
    for job_id, named in (("read_only", folder), ("below read_only", folder / "a")):
        job = site.drained.job(job_id)
        assert job["status"] == "error"
        assert job["error_message"] == f"output folder is not writable by this worker: {named}"
    assert site.listing("read_only") == ["file.txt"]
    assert (folder / "file.txt").read_bytes() == OLD


def test_a_folder_that_vanished_is_an_error(site: Site) -> None:
    job = site.drained.job("removes_the_folder")
    assert job["status"] == "error"
    assert str(site.out("removes_the_folder") / "file.txt") in job["error_message"]


def test_a_folder_swapped_for_a_link_leads_nowhere(site: Site) -> None:
    job = site.drained.job("swaps_the_folder")
    output = site.out("swaps_the_folder") / "file.txt"
    assert job["status"] == "error"
    assert job["error_message"] == (f"output is outside the folders that jobs may write to: {output} (see --allow-dir)")
    assert [path.name for path in site.outside.iterdir()] == ["secret"]


def test_an_input_swapped_for_a_link_is_still_the_one_that_was_checked(site: Site) -> None:
    job = site.drained.job("swaps_the_input")
    assert (job["status"], job["output"]) == ("completed", {"read": "checked"})


def test_a_folder_in_the_way_of_one_output_leaves_the_others_as_they_were(site: Site) -> None:
    folder = site.out("blocks_the_second")
    job = site.drained.job("blocks_the_second")
    assert (job["status"], job["error_message"]) == ("error", f"output path is a folder: {folder / 'second.txt'}")
    assert (folder / "first.txt").read_bytes() == OLD
    assert site.listing("blocks_the_second") == ["first.txt", "second.txt"]


def test_a_task_without_files_may_have_a_parameter_of_that_name(site: Site) -> None:
    assert site.drained.job("takes_no_files")["status"] == "completed"
    assert not site.out("none").exists()
