"""Parameters that no task can use: each ends its own job, with words for a person."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.cases import Case, Yard
from tests.support.in_process import InProcess
from tests.support.photos import photo
from tests.support.program import Program


def having(name: str, error: str | None, **params: Any) -> Case:
    return Case(name, error, params=params)


CASES = [
    Case("no paths", "params: input_paths is empty: the task needs at least one input file", [], []),
    Case("no inputs", "params: input_paths is empty: the task needs at least one input file", []),
    Case("no outputs", "params: 1 input_paths but 0 output_paths: each input needs one output", outputs=[]),
    Case("unequal", "params: Number of output paths must match number of input paths", ["{media}/photo.jpg"] * 2),
    having("paths no list", "params: input_paths: Input should be a valid list (got 'x')", input_paths="x"),
    having("paths no text", "params: input_paths.0: Input should be a valid string (got 1)", input_paths=[1]),
    having(
        "several faults",
        "params: width: Input should be a valid integer, unable to parse string as an integer (got 'wide'); "
        "height: Input should be a valid integer (got None)",
        width="wide",
        height=None,
    ),
    having("zero", "height and width must be > 0", width=0),
    having("not a number", "params: width: Input should be a finite number (got nan)", width=float("nan")),
    having("infinite", "params: width: Input should be a finite number (got inf)", width=float("inf")),
    Case(
        "refused choice",
        "params: format: Input should be 'png', 'jpg', 'jpeg', 'webp', 'gif', 'bmp' or 'tiff' (got 'exe')",
        params={"format": "exe"},
        task_type="image_conversion",
    ),
    Case(
        "out of range",
        "params: quality: Input should be less than or equal to 100 (got 101)",
        params={"format": "png", "quality": 101},
        task_type="image_conversion",
    ),
    Case("params a list", "params are not a JSON object: [1, 2]", whole_params=[1, 2]),
    Case("params no JSON", "params are not a JSON object: 'width=3'", whole_params="width=3"),
    Case("params null", "params are not a JSON object: None", whole_params="null"),
    having("unknown", None, colour="red", **{"bad \udcff": 1}),
    having("more than needed", None, quality=85, width="64", maintain_aspect_ratio="yes"),
]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    yard = Yard(tmp_path_factory.mktemp("yard"))
    photo(yard.media / "photo.jpg")
    yard.run(CASES)
    return yard


@pytest.mark.parametrize("case", [case for case in CASES if case.error is not None], ids=lambda case: case.name)
def test_refused_parameters_end_the_job_at_once_and_name_the_fault(yard: Yard, case: Case) -> None:
    yard.check_refused(case)


def test_every_message_is_one_plain_line(yard: Yard) -> None:
    yard.check_messages_are_plain()


def test_every_job_was_tried_once_and_harmed_no_other(yard: Yard) -> None:
    assert [job["job_id"] for job in yard.drained.attempts] == [case.name for case in CASES]


def test_unknown_parameters_are_warnings_and_no_more(yard: Yard) -> None:
    assert yard.drained.job("unknown")["status"] == "completed"
    warnings = yard.drained.logged("unknown", "unknown parameter ignored")
    assert [(line["level"], line["parameter"]) for line in warnings] == [
        ("warning", "bad \udcff"),
        ("warning", "colour"),
    ]


def test_what_the_schema_can_convert_is_fine(yard: Yard) -> None:
    assert yard.drained.job("more than needed")["status"] == "completed"


def test_refused_jobs_leave_no_file(yard: Yard) -> None:
    assert [path.name for path in (yard.compute / "out").iterdir()] == ["picture.jpg"]
    assert [path.name for path in yard.compute.iterdir()] == ["out"]


def test_text_that_is_no_utf_8_ends_its_own_job_alone(
    program: Program, command: InProcess, made_database: Path
) -> None:
    databases.insert(made_database, [{"job_id": "bytes"}, {"job_id": "text"}, {"job_id": "good"}])
    databases.execute(made_database, "UPDATE jobs SET params = x'ff7b7d' WHERE job_id = 'bytes'")
    databases.execute(made_database, "UPDATE jobs SET params = CAST(x'ff7b7d' AS TEXT) WHERE job_id = 'text'")
    drained = program.drain()
    for job_id in ("bytes", "text"):
        assert drained.job(job_id)["error_message"] == "params are not a JSON object: '\N{REPLACEMENT CHARACTER}{}'"
    assert drained.job("good")["error_message"] == "params: width: Field required; height: Field required"
    assert command.ok("jobs", "-f", "jsonl").stdout.count("\n") == 3
