"""Workers whose database server dies, is followed by its replica, or is cut off from them under load."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder, wait_at_gate
from tests.support.postgres import Place, Server
from tests.support.program import Program
from tests.support.proxy import proxy
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker, Worker, wait_for_jobs

LEAVES_A_LINE = """
with open(params.path, "a") as file:
    file.write("x")
return {"status": "ok"}
"""


class Load:
    """Jobs that each leave a line in a file of their own, so that what runs twice can be seen."""

    def __init__(self, place: Place, plugins: PluginFolder, folder: Path) -> None:
        self.place = place
        self.jobs: list[str] = []
        self._folder = folder
        folder.mkdir()
        plugins.install_plain("line", LEAVES_A_LINE, path="str")

    def add(self, number: int) -> None:
        """Queue so many jobs more."""
        jobs = [f"job-{each}" for each in range(len(self.jobs), len(self.jobs) + number)]
        rows = [{"job_id": name, "task_type": "line", "params": {"path": str(self._folder / name)}} for name in jobs]
        databases.insert(self.place, rows)
        self.jobs += jobs

    def wait_for(self, number: int) -> None:
        """Wait until so many jobs have run."""
        wait_until(lambda: len(list(self._folder.iterdir())) >= number, f"{number} jobs have run", 60)

    def check(self, workers: Sequence[Worker]) -> None:
        """See that every job comes to its end, and was run once; stop the workers."""
        self.wait_for(len(self.jobs))
        rows = wait_for_jobs(self.place, *self.jobs)
        assert [row["job_id"] for row in rows if row["retry_count"]] == []
        for worker in workers:
            assert worker.stop().code == 0
            assert not worker.logged("internal error")
        assert {len((self._folder / name).read_text()) for name in self.jobs} == {1}
        assert databases.rows(self.place, "SELECT * FROM clworker_attempts WHERE ended_at IS NULL") == []
        query = "SELECT count(*) AS count FROM clworker_attempts WHERE cause = 'completed'"
        assert databases.rows(self.place, query)[0]["count"] == len(self.jobs)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may stop."""
    made = Server()
    yield made.start()
    made.remove()


@pytest.fixture
def replica(server: Server) -> Iterator[Server]:
    """A replica of it, for which each commit waits."""
    made = Server(server)
    try:
        made.start()
        server.wait_for_copies()
        yield made
    finally:
        made.remove()


def made_place(server: Server, program: Program, url: str | None = None) -> Place:
    """Make the database ``media``, and have the program use it."""
    server.execute("CREATE DATABASE media")
    place = Place(url or server.url("media"), program.server_dir / "media_store.db")
    databases.create(place, "current")
    program.environ["DATABASE_URL"] = place.url
    return place


def test_a_replica_takes_over_from_a_server_that_dies_under_load(
    server: Server,
    replica: Server,
    start_worker: StartWorker,
    command: InProcess,
    program: Program,
    plugins: PluginFolder,
    tmp_path: Path,
) -> None:
    """The URL names both. First the replica is named alone, by mistake: each command says so in one line."""
    both = f"postgresql://postgres@127.0.0.1:{replica.port},127.0.0.1:{server.port}/media"
    place = made_place(server, program, both)
    load = Load(Place(server.url("media"), place.home), plugins, tmp_path / "lines")
    load.add(1)
    alone = replica.url("media")
    advice = "name the primary server in DATABASE_URL"
    told = f"database {alone}: is read-only: a replica, perhaps after a fail-over; {advice}"
    for words in (["run"], ["once"]):
        result = program.run(*words, DATABASE_URL=alone)
        assert (result.code, result.errors) == (69, [told]), words
    for words in (["jobs"], ["jobs", "submit", "line", "-p", "path=/tmp/x"]):
        assert command.refused(69, *words, DATABASE_URL=alone) == [told], words
    checks = {check["name"]: check for check in command.run("doctor", "-f", "json", DATABASE_URL=alone).json}
    assert (checks["claim"]["state"], checks["claim"]["advice"]) == (
        "failed",
        "name the primary server in DATABASE_URL",
    )

    workers = [start_worker("-w", name, "-c", "2", "--poll-interval", "1") for name in ("ann", "bob")]
    assert command.ok("jobs", "-f", "json", DATABASE_URL=alone).json  # once the tables are there
    load.add(250)
    load.wait_for(50)
    server.stop(signal.SIGQUIT)
    replica.promote()
    # Not all of them: one whose commit is being looked up meanwhile may notice nothing else.
    wait_until(lambda: any(worker.logged("database is back") for worker in workers), "a worker has the database back")
    load.place = Place(alone, place.home)
    load.check(workers)


def test_a_job_whose_end_the_replica_lacks_is_run_again_by_the_worker_that_forgot_it(
    server: Server,
    replica: Server,
    start_worker: StartWorker,
    program: Program,
    plugins: PluginFolder,
    tmp_path: Path,
) -> None:
    """Else it would be processing for as long as that worker lives."""
    both = f"postgresql://postgres@127.0.0.1:{server.port},127.0.0.1:{replica.port}/media"
    place = made_place(server, program, both)
    gate = tmp_path / "gate"
    plugins.install_gated("gated", gate)
    worker = start_worker("--poll-interval", "1", MQTT_HEARTBEAT_INTERVAL="0.5")
    before = Place(server.url("media"), place.home)
    databases.insert(before, [{"job_id": "late", "task_type": "gated"}])
    wait_at_gate(gate)
    server.lose_copies(replica)
    gate.touch()
    wait_for_jobs(before, "late")
    server.stop(signal.SIGQUIT)
    replica.promote()
    after = Place(replica.url("media"), place.home)
    (done,) = wait_for_jobs(after, "late")
    assert (done["status"], done["retry_count"]) == ("completed", 0)
    query = "SELECT cause FROM clworker_attempts ORDER BY id"
    assert [row["cause"] for row in databases.rows(after, query)] == ["forgotten", "completed"]
    assert worker.stop().code == 0


def test_nothing_is_lost_when_connections_break_at_their_commits(
    server: Server, start_worker: StartWorker, program: Program, plugins: PluginFolder, tmp_path: Path
) -> None:
    """Every third answer to a COMMIT gets lost; a backend is killed, and all connections are reset."""
    place = made_place(server, program)
    load = Load(place, plugins, tmp_path / "lines")
    with proxy(server.port) as between:
        program.environ["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{between.port}/media"
        workers = [start_worker("-c", "2", "--poll-interval", "1")]
        between.lose_answers(3)
        load.add(300)
        load.wait_for(60)
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'clworker'"
        (pid, *_), *_ = wait_until(lambda: server.asked(ours), "the program has a connection that is not cut")
        os.kill(pid, signal.SIGKILL)
        server.wait()
        load.wait_for(150)
        between.reset()
        while between.lost < 10:  # quick jobs share their commits
            load.add(50)
            load.wait_for(len(load.jobs))
        load.check(workers)
