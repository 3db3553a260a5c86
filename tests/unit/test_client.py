"""The client that services embed: a producer's whole dealings with the queue, with no command line between."""

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from clworker.core import JobClient, JobFilter, load_settings, run_once
from clworker.core.errors import JobNotFound, ParamsRefused, PluginHostFailed, TaskUnknown, UsageFault
from clworker.core.settings import Settings
from tests.support.broker import Broker
from tests.support.emptied import Emptied
from tests.support.processes import children_of
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder of its own, and no broker."""
    return load_settings({}, {"CL_SERVER_DIR": str(tmp_path / "server"), "BROADCAST_TYPE": "noop"})


@pytest.fixture
def client(settings: Settings) -> Iterator[JobClient]:
    with JobClient(settings) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The same with each kind of database."""
    if request.param == "sqlite":
        return settings
    postgresql: Emptied = request.getfixturevalue("postgresql")
    return replace(settings, database_url=postgresql.place("own", settings.database_path).url)


def test_a_job_from_its_submission_to_its_end(either: Settings, picture: Path) -> None:
    with JobClient(either) as client:
        submit_run_and_wait(client, either, picture)


def submit_run_and_wait(client: JobClient, settings: Settings, picture: Path) -> None:
    handlers = logging.getLogger().handlers[:]
    job = client.submit("image_resize", [picture], {"width": 64, "height": 48}, priority=7)
    assert (job.status, job.priority, job.params["width"]) == ("queued", 7, 64)
    assert client.get(job.job_id) == job
    assert client.matching(JobFilter(status="queued")) == [job]
    updates = client.watch(job.job_id, timeout=60)
    assert next(updates) == job

    ran = run_once(settings)

    ended = client.wait(job.job_id, timeout=60)
    assert ran == ended == list(updates)[-1]
    assert ended.status == "completed" and Path(ended.params["output_paths"][0]).is_file()
    assert client.cancel(job.job_id) is False
    assert logging.getLogger().handlers == handlers


def test_what_cannot_be_queued_is_refused_and_leaves_nothing(
    client: JobClient, settings: Settings, picture: Path, tmp_path: Path
) -> None:
    size = {"width": 64, "height": 48}
    with pytest.raises(TaskUnknown, match="did you mean"):
        client.submit("image_resise", [picture], size)
    with pytest.raises(ParamsRefused, match=r"^params: height: Field required$"):
        client.submit("image_resize", [picture], {"width": 64})
    with pytest.raises(ParamsRefused, match="no parameter 'widht'"):
        client.submit("image_resize", [picture], {"widht": 64})
    with pytest.raises(ParamsRefused, match="output_paths cannot be given"):
        client.submit("image_resize", [picture], {**size, "output_paths": ["/etc/passwd"]})
    with pytest.raises(ParamsRefused, match="params cannot be written as JSON: "):
        client.submit("image_resize", [picture], {**size, "width": tmp_path})
    with pytest.raises(UsageFault, match="priority is 11, not 0 to 10"):
        client.submit("image_resize", [picture], size, priority=11)
    with pytest.raises(UsageFault, match="input file not found"):
        client.submit("image_resize", [tmp_path / "none.jpg"], size)
    assert (client.matching(), settings.storage_dir.exists()) == ([], False)


def test_threads_that_come_and_go_share_one_process_of_plugins_which_is_started_anew_once_it_has_died(
    client: JobClient, picture: Path
) -> None:
    def submit() -> None:
        client.submit("image_resize", [picture], {"width": 64, "height": 48})

    before = set(children_of(os.getpid()))
    for _ in range(2):
        thread = Thread(target=submit)
        thread.start()
        thread.join()
    assert len(client.matching()) == 2
    (host,) = set(children_of(os.getpid())) - before
    os.kill(host, signal.SIGKILL)
    with pytest.raises(PluginHostFailed, match="was killed by SIGKILL"):
        submit()
    submit()
    assert len(client.matching()) == 3
    client.close()
    client.close()
    assert set(children_of(os.getpid())) == before


def test_waiting_has_an_end_and_only_whole_ids_count(client: JobClient, picture: Path) -> None:
    job = client.submit("image_resize", [picture], {"width": 64, "height": 48})
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.2 s$"):
        client.wait(job.job_id, timeout=0.2)
    for call in (client.cancel, client.wait):
        with pytest.raises(JobNotFound, match=f"^no job has the id '{job.job_id[:8]}'$"):
            call(job.job_id[:8])
    assert client.get(job.job_id[:8]) is None


def test_the_others_are_told(settings: Settings, broker: Broker, picture: Path, tmp_path: Path) -> None:
    told = load_settings({}, {"CL_SERVER_DIR": str(tmp_path / "server"), **broker.environ})
    with Watcher(broker.port, told.mqtt_topic) as watcher, JobClient(told) as client:
        job = client.submit("image_resize", [picture], {"width": 64, "height": 48})
        assert client.cancel(job.job_id) is True
        seen = wait_until(lambda: watcher.seen if len(watcher.seen) == 2 else [], "both events arrive")
    events = [message.json for message in seen]
    assert [(event["job_id"], event["event_type"]) for event in events] == [
        (job.job_id, "queued"),
        (job.job_id, "failed"),
    ]
