"""A short chaos run, what its checks would notice, and that a seed decides everything."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import checks
from tests.chaos.evidence import Evidence
from tests.chaos.plan import HEARTBEAT, Act, Deed, JobKind, Plan, make_plan
from tests.chaos.report import Report
from tests.chaos.runner import Chaos
from tests.support import databases

# It has every signal, a stop of more than three heartbeats and a crash of the broker.
PLAN = make_plan(seed=1515, seconds=8, workers=3)
SERVER_PLAN = make_plan(seed=1880, seconds=7, workers=2, database="postgresql")

ENDS = {
    Deed.STOP: {Deed.CONTINUE, Deed.KILL},
    Deed.FREEZE: {Deed.CONTINUE},
    Deed.BROKER_KILL: {Deed.BROKER_START},
    Deed.BROKER_END: {Deed.BROKER_START},
    Deed.BROKER_STOP: {Deed.BROKER_CONTINUE},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return Chaos(PLAN, folder).run()


def test_after_a_short_run_everything_holds(report: Report) -> None:
    assert report.faults == [], f"{report}\nagain with: {PLAN.command}"
    assert report.deeds[Deed.KILL] >= 2  # on a busy machine perhaps of workers that hold no job yet
    assert (report.lost, report.doubles, report.lock_errors) == (0, 0, [])


def test_after_a_short_run_over_a_server_with_troubles_everything_holds(tmp_path: Path) -> None:
    report = Chaos(SERVER_PLAN, tmp_path).run()
    assert report.faults == [], f"{report}\nagain with: {SERVER_PLAN.command}"
    assert {Deed.KILL, Deed.SERVER_CRASH, Deed.SERVER_START} <= set(report.deeds)
    assert (report.lost, report.doubles) == (0, 0)


OBITUARY = "worker w on host h died while it ran the job, attempt 1 of 1"
SABOTAGES = {
    "UPDATE jobs SET status = 'processing'": "lost: it is processing at the end",
    "UPDATE jobs SET completed_at = completed_at + 1": "2 outcomes: ",
    "DELETE FROM jobs": "its row is gone",
    "UPDATE jobs SET retry_count = max_retries + 1": "retries, of ",
    "UPDATE jobs SET retry_count = retry_count - 1": "its retries went from ",
    'UPDATE jobs SET output = \'{"nonce": "of another attempt"}\'': "not the whole file of the attempt",
    f"UPDATE jobs SET status = 'error', error_message = '{OBITUARY}'": "given up after ",
    "UPDATE jobs SET status = 'error', error_message = 'odd'": "unexpected error: odd",
    "UPDATE clworker_attempts SET ended_at = CASE cause WHEN 'completed' THEN NULL ELSE ended_at END": "is still open",
}


@pytest.fixture
def copied(report: Report, folder: Path, tmp_path: Path) -> Path:
    """A copy of what the run has left, to be spoilt."""
    shutil.copytree(folder / "server", tmp_path / "server")
    return tmp_path / "server" / "media_store.db"


def completed_job(evidence: Evidence) -> str:
    return next(
        job.job_id
        for job in PLAN.jobs
        if job.kind is JobKind.WRITE and evidence.jobs[job.job_id]["status"] == "completed"
    )


def faults(database: Path) -> Sequence[str]:
    evidence = Evidence.read(database)
    return [*checks.job_faults(PLAN, evidence), *checks.left_behind(evidence)]


@pytest.mark.parametrize("statement, words", SABOTAGES.items())
def test_the_checks_notice(report: Report, copied: Path, statement: str, words: str) -> None:
    databases.execute(copied, f"{statement} WHERE job_id = ?", completed_job(report.evidence))
    assert words in "\n".join(faults(copied))


def test_the_checks_notice_a_cut_output_and_a_folder_that_is_left(report: Report, copied: Path) -> None:
    job_id = completed_job(report.evidence)
    (planned,) = (job for job in PLAN.jobs if job.job_id == job_id)
    output = copied.parent / "compute" / "out" / planned.output
    output.write_text(output.read_text()[:-1])
    (output.parent / ".clworker-0123").mkdir()
    cut, left = faults(copied)
    assert cut == f"{job_id} (write): its output is not whole"
    assert left.endswith(".clworker-0123")


def test_a_seed_decides_everything() -> None:
    plans = [str(make_plan(seed, 20, 4)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_undoes_within_its_time_what_it_stops(seed: int) -> None:
    plan = make_plan(seed, 60, 4)
    assert [act.at for act in plan.acts] == sorted(act.at for act in plan.acts)
    assert all(0 <= at <= 60 for at in [*(act.at for act in plan.acts), *(job.at for job in plan.jobs)])
    for worker in (None, *range(4)):
        acts = [act for act in plan.acts if act.worker == worker]
        for number, act in enumerate(acts):
            if act.deed in ENDS:
                assert ENDS[act.deed] & {later.deed for later in acts[number + 1 :]}
    assert _longest_halt(plan) > 3 * HEARTBEAT


def _longest_halt(plan: Plan) -> float:
    longest = 0.0
    begun: dict[int | None, Act] = {}
    for act in plan.acts:
        if act.deed in (Deed.STOP, Deed.FREEZE):
            begun[act.worker] = act
        elif act.deed is Deed.CONTINUE:
            longest = max(longest, act.at - begun[act.worker].at)
    return longest
