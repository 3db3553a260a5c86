"""How many connections the program takes from a PostgreSQL server, which grants it no more than it may need."""

from collections.abc import Callable, Iterator

import pytest

from tests.process.test_http import Site
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.plugins import PluginFolder
from tests.support.postgres import Place
from tests.support.program import Program
from tests.support.worker import StartWorker, wait_for_jobs

ROLE = "thrifty"


@pytest.fixture
def limited(postgresql: Emptied, server_place: Place, program: Program) -> Iterator[Callable[[int], None]]:
    """Has the program use a role of its own, and limits the number of its connections."""
    server, name = postgresql.server, server_place.url.rpartition("/")[2]
    server.execute(f"CREATE ROLE {ROLE} LOGIN")
    server.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}", database=name)
    program.environ["DATABASE_URL"] = server.url(name, ROLE)
    yield lambda number: server.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT {number}")
    server.execute(f"DROP OWNED BY {ROLE}", database=name)
    server.execute(f"DROP ROLE {ROLE}")


def test_commands_take_one_and_a_worker_of_any_number_of_slots_three(
    limited: Callable[[int], None],
    program: Program,
    plugins: PluginFolder,
    start_worker: StartWorker,
    server_place: Place,
) -> None:
    plugins.install_plain("quick", 'return {"status": "ok"}')
    limited(1)
    job_id = program.submit("quick")
    assert program.ok("once", "-f", "json").json["job_id"] == job_id
    assert program.ok("jobs", "-f", "json").json[0]["status"] == "completed"

    limited(3)
    worker = start_worker("-c", "16", "--poll-interval", "300", "--http", "0")
    jobs = [f"job-{number}" for number in range(150)]
    databases.insert(server_place, [{"job_id": job_id, "task_type": "quick"} for job_id in jobs])
    databases.execute(server_place, "NOTIFY clworker_queued")
    site = Site(worker)
    for path in ("metrics", ""):
        assert site.get(path)[0] == 200
    site.wait_for("readyz", (200, "ready\n"))
    wait_for_jobs(server_place, *jobs)
    assert worker.stop().code == 0
    assert [line for line in worker.log if line["level"] in ("warning", "error")] == []
