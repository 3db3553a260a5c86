"""The program over PostgreSQL: the same commands, and nothing lost or done twice when the server comes and goes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder, wait_at_gate
from tests.support.postgres import Place, Server
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker

BACKSTOP = ("--poll-interval", "300")
SIZE = ("-p", "width=64", "-p", "height=48")
LEAVES_A_LINE = """
with open(params.path, "a") as file:
    file.write("x")
return {"status": "ok"}
"""

SAYS_CHARACTERS = """
return {"status": "ok", "task_output": {"text": "".join(map(chr, params.codes))}}
"""


@pytest.mark.parametrize("generation", ["own", "first"])
def test_a_picture_is_submitted_run_and_looked_at(
    program: Program, command: InProcess, postgresql: Emptied, picture: Path, generation: str
) -> None:
    place = postgresql.fresh(generation, program.server_dir / "media_store.db")
    program.environ["DATABASE_URL"] = place.url.replace("postgresql:", "postgres+asyncpg:")
    job_id = command.ok("jobs", "submit", "image_resize", picture, *SIZE).stdout.strip()
    once = program.ok("once", "-f", "json")
    assert once.json["status"] == "completed" and once.json["output"]["dimensions"] == {"width": 64, "height": 48}
    shown = command.ok("jobs", "show", job_id[:6], "-f", "json").json
    assert (shown["status"], shown["params"]["width"], shown["attempts"][0]["cause"]) == ("completed", 64, "completed")
    assert command.ok("jobs", "-f", "json").json[0]["job_id"] == job_id
    assert command.ok("jobs", "stats", "-f", "json").json[0]["completed"] == 1
    assert command.run("once", "-f", "json").stdout == ""


@pytest.mark.parametrize("generation", ["jsonb", "current"])
def test_an_output_that_the_database_cannot_hold_fails_its_job_alone(
    program: Program, postgresql: Emptied, plugins: PluginFolder, tmp_path: Path, generation: str
) -> None:
    """The type JSONB refuses NUL and halves of surrogate pairs, which JSON keeps; no text holds NUL."""
    place = postgresql.fresh(generation, program.server_dir / "media_store.db")
    program.environ["DATABASE_URL"] = place.url
    plugins.install_plain("says", SAYS_CHARACTERS, codes="list")
    plugins.install_plain("fails", 'return {"status": "error", "error": "a" + chr(0)}')
    texts = {"nul": "a\0b", "half": "\ud800", "plain": "\\u0000 \U0001f600"}
    rows = [{"job_id": job_id, "params": {"codes": [*map(ord, text)]}} for job_id, text in texts.items()]
    databases.insert(place, [{"task_type": "says", **row} for row in rows])
    databases.insert(place, [{"job_id": "failed", "task_type": "fails"}])

    ended = program.drain()

    for job_id, refused in {"nul": r"\u0000", "half": r"\ud800", "plain": None}.items():
        job = ended.job(job_id)
        if generation == "jsonb" and refused is not None:
            told = f"the task's output cannot be kept in the database: a column of type JSONB holds no {refused}"
            assert (job["status"], job["output"], job["error_message"]) == ("error", None, told)
        else:
            assert (job["status"], job["output"]) == ("completed", {"text": texts[job_id]})
    assert ended.job("failed")["error_message"] == r"a\x00"


def test_without_the_driver_it_is_said_how_to_install_it(program: Program, plugins: PluginFolder) -> None:
    (plugins.path / "psycopg.py").write_text("raise ImportError('no such thing')")
    result = program.run("jobs", DATABASE_URL="postgresql://cl:s3cret@127.0.0.1/media")
    told = "PostgreSQL needs a driver: pip install 'clworker[postgres]' (no such thing)"
    assert (result.code, result.stderr) == (2, f"Error: {told}\n")


def test_a_worker_is_woken_has_three_connections_and_its_killed_jobs_are_rescued(
    start_worker: StartWorker, program: Program, server_place: Place, plugins: PluginFolder, tmp_path: Path
) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    plugins.install_gated("waits", gate)
    plugins.install_plain("quick", LEAVES_A_LINE, path="str")
    worker = start_worker(*BACKSTOP, "-c", "3")
    assert not worker.logged("no inotify; looking at the database all the time")
    wait_until(lambda: _listening(server_place), "the worker listens")

    program.submit("quick", "-p", f"path={done}")
    wait_until(done.exists, "a job that was submitted is run at once")
    waits = [program.submit("waits") for _ in range(2)]
    wait_at_gate(gate, 2)
    query = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND application_name = ?"
    assert databases.rows(server_place, query, "clworker")[0]["count"] <= 3

    os.kill(worker.pid, signal.SIGKILL)
    worker.process.wait()
    gate.touch()
    other = start_worker(*BACKSTOP, "-w", "other")
    rows = other.wait_for_jobs(*waits)
    assert [row["retry_count"] for row in rows] == [1, 1]
    assert other.stop().code == 0
    assert databases.rows(server_place, "SELECT * FROM clworker_instances WHERE ended_at IS NULL") == []


def _listening(place: Place) -> bool:
    query = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    return bool(databases.rows(place, query))


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may stop."""
    server = Server()
    yield server
    server.remove()


def test_a_server_that_restarts_under_load_costs_nothing(
    own_server: Server, start_worker: StartWorker, program: Program, plugins: PluginFolder, tmp_path: Path
) -> None:
    """Twice: stopped at once, and crashed, while two workers finish some hundred jobs a second."""
    own_server.start().execute("CREATE DATABASE media")
    place = Place(own_server.url("media"), program.server_dir / "media_store.db")
    databases.create(place, "current")
    program.environ["DATABASE_URL"] = place.url
    plugins.install_plain("line", LEAVES_A_LINE, path="str")
    lines = tmp_path / "lines"
    lines.mkdir()
    jobs = [f"job-{number}" for number in range(600)]
    rows = [{"job_id": job_id, "task_type": "line", "params": {"path": str(lines / job_id)}} for job_id in jobs]
    databases.insert(place, rows)
    workers = [start_worker("-w", name, "-c", "2", "--poll-interval", "1") for name in ("ann", "bob")]

    def done(count: int) -> bool:
        return len(list(lines.iterdir())) >= count

    wait_until(lambda: done(100), "a hundred jobs are done", 60)
    own_server.stop(signal.SIGINT)
    own_server.start()
    wait_until(lambda: done(300), "three hundred jobs are done", 60)
    own_server.stop(signal.SIGQUIT)
    own_server.start()
    for worker in workers:
        worker.wait_for("database is back")
    wait_until(lambda: done(600), "all jobs are done", 60)
    again = [row["job_id"] for row in workers[0].wait_for_jobs(*jobs) if row["retry_count"]]
    assert again == []
    for worker in workers:
        assert worker.stop().code == 0
    assert {len((lines / job_id).read_text()) for job_id in jobs} == {1}
    causes = databases.rows(place, "SELECT cause, count(*) AS count FROM clworker_attempts GROUP BY cause")
    assert {row["cause"]: row["count"] for row in causes}["completed"] == 600


def test_the_doctor_looks_at_the_server_and_leaves_nothing_there(
    command: InProcess, postgresql: Emptied, server_place: Place
) -> None:
    def found() -> dict[str, tuple[str, str]]:
        result = command.run("doctor", "-f", "json")
        return {check["name"]: (check["state"], check["found"]) for check in result.json}

    checks = found()
    assert checks["database"][0] == "ok" and "answers, PostgreSQL" in checks["database"][1]
    assert checks["generation"] == ("ok", "there is no table jobs yet; the first program that needs it makes it")
    assert (checks["claim"][0], checks["inotify"][0], checks["snapshots"][0]) == ("ok", "skipped", "ok")
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert databases.rows(server_place, tables) == []

    databases.open_store(server_place).close()
    assert found()["generation"] == ("ok", "the table jobs is of the current generation, with clworker's tables")
    command.program.environ["DATABASE_URL"] = postgresql.server.url("none")
    checks = found()
    assert checks["database"][0] == "failed" and 'database "none" does not exist' in checks["database"][1]
    assert (checks["claim"][0], checks["stale-claims"][0]) == ("skipped", "skipped")
