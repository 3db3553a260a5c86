"""The values that the parts hand to each other: frozen, comparable, and readable for people."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from clworker import core
from clworker.core.models.attempts import Cause, Claim, Death, Outcome, signal_name
from clworker.core.models.jobs import ComputeJob, ComputeJobStatus


def job(**changes: Any) -> ComputeJob:
    values: dict[str, Any] = {field.name: None for field in fields(ComputeJob)}
    return ComputeJob(**{**values, "job_id": "job", "status": "queued", "retry_count": 0, "max_retries": 3, **changes})


def test_the_words_of_the_status_column_are_the_contracts() -> None:
    assert [str(status) for status in ComputeJobStatus] == ["queued", "processing", "completed", "error"]


def test_a_jobs_fields_are_the_names_that_scripts_rely_on() -> None:
    promised = (
        "job_id task_type status progress priority params output error_message created_at started_at completed_at "
        "updated_at retry_count max_retries created_by"
    )
    assert {field.name for field in fields(ComputeJob)} == set(promised.split())


@pytest.mark.parametrize(("status", "final"), [("queued", False), ("processing", False), ("completed", True)])
def test_a_job_is_final_when_nothing_more_happens_to_it(status: str, final: bool) -> None:
    assert job(status=status).is_final is final
    assert job(status=ComputeJobStatus(status)).is_final is final
    assert job(status="error").is_final
    assert not job(status="a word of others").is_final


@pytest.mark.parametrize(
    ("started_at", "completed_at", "seconds"),
    [(1_000, 3_500, 2.5), (1_000, 1_000, 0), (3_000, 1_000, 0), (None, 1_000, None), (1_000, None, None)],
)
def test_seconds_are_those_of_the_last_run(started_at: int | None, completed_at: int | None, seconds: float) -> None:
    assert job(started_at=started_at, completed_at=completed_at).seconds == seconds


def test_attempts_are_counted_from_one() -> None:
    assert Claim(job(retry_count=2), "token", 1).attempt == 3
    assert Claim(job(), "token", 1).job_id == "job"


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (Death(signal=11, peak_memory_kib=310 * 1024), "was killed by SIGSEGV at 310 MiB"),
        (Death(signal=9, exit_code=0), "was killed by SIGKILL"),
        (Death(signal=77), "was killed by signal 77"),
        (Death(exit_code=0), "ended with exit code 0"),
        (Death(exit_code=3, peak_memory_kib=0), "ended with exit code 3"),
        (Death(), "vanished"),
    ],
)
def test_a_death_is_said_for_people(death: Death, words: str) -> None:
    assert str(death) == words


def test_every_signal_has_a_name() -> None:
    assert (signal_name(15), signal_name(0), signal_name(-1)) == ("SIGTERM", "signal 0", "signal -1")


def test_values_cannot_be_changed() -> None:
    outcome = Outcome.failed("it failed", Cause.TIME_LIMIT)
    assert (outcome.status, outcome.cause, outcome.output) == (ComputeJobStatus.ERROR, Cause.TIME_LIMIT, None)
    with pytest.raises(FrozenInstanceError):
        outcome.status = ComputeJobStatus.COMPLETED  # type: ignore[misc]


def test_the_names_of_the_design_note_can_be_imported_from_the_core() -> None:
    for name in core.__all__:
        assert getattr(core, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Unheard'"):
        core.Unheard  # noqa: B018 - the look-up is what is tested
