"""Inputs and outputs as bad as they come: each ends its own job, with words for a person.

All run in one worker that has no powers of root, once for the whole file; each test looks
at one of them.
"""

import os
import socket
import stat
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.cases import SIZE, Case, Yard
from tests.support.in_process import InProcess
from tests.support.photos import bomb_png, photo

UNTOUCHABLE = b"not for jobs"


def reading(name: str, path: str, error: str | None) -> Case:
    return Case(name, error, inputs=[path])


def writing(name: str, path: str, error: str | None) -> Case:
    return Case(name, error, outputs=[path])


OUTSIDE_IN = "input is outside the folders that jobs may read: "
OUTSIDE_OUT = "output is outside the folders that jobs may write to: "
NO_NAME = "path holds characters that no file name can have: "
PICTURES = [
    reading("truncated", "{media}/truncated.jpg", "image file is truncated (…"),
    reading("cut in its header", "{media}/header.jpg", "Truncated File Read"),
    reading("text named jpg", "{media}/text.jpg", "cannot identify image file '{media}/text.jpg'"),
    reading("empty file", "{media}/empty.jpg", "cannot identify image file '{media}/empty.jpg'"),
    reading(
        "bomb",
        "{media}/bomb.png",
        "Image size (900000000 pixels) exceeds limit of 178956970 pixels, could be decompression bomb DOS attack.",
    ),
]
INPUTS = [
    reading("blanks and other letters", "{media}/ä  ö 日本/фото 1.jpg", None),
    reading("no UTF-8", "{media}/caf\udce9.jpg", None),
    reading("link inside", "{media}/inner link.jpg", None),
    reading("up and down again", "{media}/nowhere/../photo.jpg", None),
    Case("one input twice", None, inputs=["{media}/photo.jpg"] * 2, outputs=["{compute}/1.jpg", "{compute}/2.jpg"]),
    reading("missing", "{media}/missing.jpg", "input file not found: {media}/missing.jpg"),
    reading("missing, no UTF-8", "{media}/\udcff.jpg", "input file not found: {media}/\\udcff.jpg"),
    reading("missing, two lines", "{media}/a  b\nc.jpg", "input file not found: {media}/a  b c.jpg"),
    reading("dangling link", "{media}/dangling.jpg", "input file not found: {media}/dangling.jpg"),
    reading(
        "link to itself",
        "{media}/loop.jpg",
        "input file cannot be opened: {media}/loop.jpg: Too many levels of symbolic links",
    ),
    reading("folder", "{media}/ä  ö 日本", "input is a folder, but a file is needed: {media}/ä  ö 日本"),
    reading("the media folder", "{media}", "input is a folder, but a file is needed: {media}"),
    reading("file with a slash", "{media}/photo.jpg/", "input path names no file: '{media}/photo.jpg/'"),
    reading(
        "below a file",
        "{media}/photo.jpg/x.jpg",
        "input file cannot be opened: {media}/photo.jpg/x.jpg: Not a directory",
    ),
    reading("unreadable", "{media}/secret.jpg", "input file is not readable by this worker: {media}/secret.jpg"),
    reading(
        "unreadable folder", "{media}/vault/a.jpg", "input file is not readable by this worker: {media}/vault/a.jpg"
    ),
    reading("pipe", "{media}/pipe.jpg", "input is no regular file, but a file is needed: {media}/pipe.jpg"),
    reading("socket", "{media}/socket.jpg", "input is no regular file, but a file is needed: {media}/socket.jpg"),
    reading("control characters", "{media}/a\x1b[2J\x9b.jpg", r"input file not found: {media}/a\x1b[2J\x9b.jpg"),
    reading(
        "another attempt's file",
        "{media}/.clworker-0123456789abcdef/a.jpg",
        "input path leads into a folder of an attempt at a job: {media}/.clworker-0123456789abcdef/a.jpg",
    ),
    reading("relative", "photo.jpg", "input path is not absolute: 'photo.jpg'"),
    reading("empty path", "", "input path is not absolute: ''"),
    reading("NUL", "{media}/a\0b.jpg", "input " + NO_NAME + "'{media}/a\\x00b.jpg'"),
    reading("lone surrogate", "{media}/\ud800.jpg", "input " + NO_NAME + "'{media}/\\ud800.jpg'"),
    reading(
        "long name",
        "{media}/" + "n" * 300,
        "input file cannot be opened: {media}/" + "n" * 300 + ": File name too long",
    ),
    reading("outside", "/etc/passwd", OUTSIDE_IN + "/etc/passwd (see --allow-dir)"),
    reading("outside by dots", "{media}/../../x", OUTSIDE_IN + "{media}/../../x (see --allow-dir)"),
    reading("outside by a link", "{media}/link.jpg", OUTSIDE_IN + "{media}/link.jpg (see --allow-dir)"),
    reading("outside by a folder's link", "{media}/out/x", OUTSIDE_IN + "{media}/out/x (see --allow-dir)"),
    reading("beside by name", "{media}-not/x", OUTSIDE_IN + "{media}-not/x (see --allow-dir)"),
]
OUTPUTS = [
    writing("output: non-ASCII", "{compute}/ü  ö/é.jpg", None),
    writing("output: a link is replaced", "{compute}/to-outside.jpg", None),
    writing("output: relative", "x/out.jpg", "output path is not absolute: 'x/out.jpg'"),
    writing("output: no folder", "out.jpg", "output path is not absolute: 'out.jpg'"),
    writing("output: outside", "{outside}/new.jpg", OUTSIDE_OUT + "{outside}/new.jpg (see --allow-dir)"),
    writing("output: media", "{media}/new.jpg", OUTSIDE_OUT + "{media}/new.jpg (see --allow-dir)"),
    writing("output: by dots", "{compute}/../../new.jpg", OUTSIDE_OUT + "{compute}/../../new.jpg (see --allow-dir)"),
    writing("output: by a link", "{compute}/away/new.jpg", OUTSIDE_OUT + "{compute}/away/new.jpg (see --allow-dir)"),
    writing("output: a folder", "{compute}/folder.jpg", "output path is a folder: {compute}/folder.jpg"),
    writing("output: a slash", "{compute}/out/", "output path names no file: '{compute}/out/'"),
    writing("output: dots", "{compute}/out/..", "output path names no file: '{compute}/out/..'"),
    writing("output: NUL", "{compute}/a\0b.jpg", "output " + NO_NAME + "'{compute}/a\\x00b.jpg'"),
    writing(
        "output: below a file",
        "{compute}/own.jpg/a.jpg",
        "output folder cannot be used: {compute}/own.jpg: Not a directory",
    ),
    writing(
        "output: into another attempt",
        "{compute}/to-attempt/a.jpg",
        "output path leads into a folder of an attempt at a job: {compute}/to-attempt/a.jpg",
    ),
    writing(
        "output: in place of an attempt",
        "{compute}/.clworker-new",
        "output path leads into a folder of an attempt at a job: {compute}/.clworker-new",
    ),
    writing("output: no suffix", "{compute}/picture", "unknown file extension:"),
    Case(
        "output is the input",
        "output path is also an input: {compute}/own.jpg",
        ["{compute}/own.jpg"],
        ["{compute}/own.jpg"],
    ),
    Case(
        "output is the input's link",
        "output path is also an input: {compute}/own.jpg",
        ["{compute}/own link.jpg"],
        ["{compute}/own.jpg"],
    ),
    Case(
        "two outputs, one file",
        "two outputs would go to the same file: {compute}/x/../1.jpg",
        ["{media}/photo.jpg"] * 2,
        ["{compute}/1.jpg", "{compute}/x/../1.jpg"],
    ),
    Case(
        "two outputs, one path",
        "params: output_paths: Output paths must be unique (got …",
        ["{media}/photo.jpg"] * 2,
        ["{compute}/1.jpg"] * 2,
    ),
]
CASES = PICTURES + INPUTS + OUTPUTS


def put_files(media: Path, compute: Path, outside: Path) -> None:
    whole = photo(media / "photo.jpg").read_bytes()
    for name, content in (("truncated", whole[:-2000]), ("header", whole[:30]), ("text", b"hello\n"), ("empty", b"")):
        (media / f"{name}.jpg").write_bytes(content)
    bomb_png(media / "bomb.png")
    (media / "ä  ö 日本").mkdir()
    for path in (media / "ä  ö 日本/фото 1.jpg", media / "caf\udce9.jpg", compute / "own.jpg", media / "secret.jpg"):
        path.write_bytes(whole)
    (media / "secret.jpg").chmod(0)
    (media / "vault").mkdir(mode=0)
    for link, target in (
        (media / "inner link.jpg", "photo.jpg"),
        (media / "dangling.jpg", "gone.jpg"),
        (media / "loop.jpg", "loop.jpg"),
        (media / "link.jpg", "/etc/passwd"),
        (media / "out", outside),
        (compute / "away", outside),
        (compute / "to-outside.jpg", outside / "x"),
        (compute / "to-attempt", ".clworker-0123456789abcdef"),
        (compute / "own link.jpg", "own.jpg"),
    ):
        link.symlink_to(target)
    (compute / "folder.jpg").mkdir()
    os.mkfifo(media / "pipe.jpg")
    (outside / "x").write_bytes(UNTOUCHABLE)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    yard = Yard(tmp_path_factory.mktemp("yard"))
    put_files(yard.media, yard.compute, yard.outside)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(yard.media / "socket.jpg"))
        yard.run(CASES)
    (yard.media / "vault").chmod(0o700)  # so that it can be removed
    return yard


@pytest.mark.parametrize("case", [case for case in CASES if case.error is not None], ids=lambda case: case.name)
def test_a_bad_input_ends_its_job_at_once_with_its_own_message(yard: Yard, case: Case) -> None:
    yard.check_refused(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.error is None], ids=lambda case: case.name)
def test_an_odd_but_good_input_completes(yard: Yard, case: Case) -> None:
    job = yard.drained.job(case.name)
    assert (job["status"], job["error_message"]) == ("completed", None)
    outputs = [yard.fill_in(path) for path in case.outputs]
    assert job["output"]["processed_files"] == outputs
    for output in map(Path, outputs):
        assert stat.S_ISREG(output.lstat().st_mode)
        assert output.stat().st_size > 0


def test_every_message_is_one_plain_line(yard: Yard) -> None:
    yard.check_messages_are_plain()


def test_every_job_was_tried_once_and_harmed_no_other(yard: Yard) -> None:
    assert [job["job_id"] for job in yard.drained.attempts] == [case.name for case in CASES]


def test_nothing_outside_is_touched_and_nothing_stray_is_left(yard: Yard) -> None:
    assert [path.name for path in yard.outside.iterdir()] == ["x"]
    assert (yard.outside / "x").read_bytes() == UNTOUCHABLE
    left = {str(path.relative_to(yard.compute)) for path in yard.compute.rglob("*")}
    made = {"out", "out/picture.jpg", "ü  ö", "ü  ö/é.jpg", "1.jpg", "2.jpg"}
    assert left == made | {"own.jpg", "own link.jpg", "away", "folder.jpg", "to-outside.jpg", "to-attempt"}


def test_a_device_is_no_input(command: InProcess, database: Path) -> None:
    device = database.parent / "compute/zero.jpg"
    device.parent.mkdir()
    try:
        os.mknod(device, 0o644 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")
    databases.create(database, "first")
    params = {**SIZE, "input_paths": [str(device)], "output_paths": [str(device.parent / "out.jpg")]}
    databases.insert(database, [{"params": params}])
    once = command.run("once")
    assert once.code == 1
    assert f"input is no regular file, but a file is needed: {device}" in once.stdout


def test_a_name_that_is_no_utf_8_is_shown_by_every_command(command: InProcess, database: Path) -> None:
    databases.create(database, "current")
    params = {**SIZE, "input_paths": ["/media/\udcff.jpg"], "output_paths": ["/out/\udcff.jpg"]}
    databases.insert(database, [{"job_id": "odd", "params": params}])
    once = command.run("once")
    assert (once.code, once.stdout.count("\n")) == (1, 1)
    assert "/media/\\udcff.jpg" in once.stdout
    assert command.ok("jobs", "show", "odd", "-f", "json").json["params"] == params
    assert "odd" in command.ok("jobs", "-f", "csv").stdout
