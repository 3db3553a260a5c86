"""What each address answers, over a worker that is put together by hand and a real database."""

import asyncio
import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.presence.broadcaster import NoopBroadcaster
from clworker.core.presence.port import Standing
from clworker.core.store.overview import Overview
from clworker.core.store.store import Store
from clworker.core.web import health, snapshot
from clworker.core.web.history import ENTRIES, SPAN, History
from clworker.core.web.messages import Refused, Request, Response
from clworker.core.web.metrics import Metrics
from clworker.core.web.pulse import Pulse
from clworker.core.web.site import Site
from clworker.core.web.snapshot import Observatory, Sources
from clworker.core.worker.situation import Phase, RunningJob, Situation, SlotState
from tests.support import databases

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[2J&amp;"
WORKING = Situation(Phase.WORKING, ["zoom"], [SlotState(1, None)], None, True)


class Broken(NoopBroadcaster):
    """A broker that is away."""

    def standing(self) -> Standing:
        return Standing(connected=False, reason=HOSTILE)


class Scene:
    """A site and what it is about."""

    def __init__(self, store: Store, database: Path) -> None:
        self.database = database
        self.pulse = Pulse()
        self.pulse.situation = WORKING
        history = History()
        self.metrics = Metrics("worker-1", history)
        self.observatory = Observatory(self.pulse, history)
        self.observatory.sources = Sources(store, Broken())

    def ask(self, path: str, host: str = "localhost") -> Response:
        """Answer one request as it stands now: by a site that has nothing in its memory."""
        return self.ask_all([path], host)[0]

    def ask_all(self, paths: Sequence[str], host: str = "localhost") -> list[Response]:
        """Answer many requests at once."""

        async def respond() -> list[Response]:
            site = Site("worker-1", "Bound.Example", self.pulse, self.observatory, self.metrics)
            return await asyncio.gather(*(site.respond(Request("GET", path, host, False)) for path in paths))

        return asyncio.run(respond())

    def samples(self) -> dict[tuple[str, str], float]:
        """Return the metrics by their name and the values of their labels."""
        families = text_string_to_metric_families(self.ask("/metrics").body.decode())
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }


def attributes_of(page: str) -> list[tuple[str, str | None]]:
    """Return the attributes of all elements, as a browser finds them."""
    found: list[tuple[str, str | None]] = []
    parser = HTMLParser()
    with patch.object(parser, "handle_starttag", lambda _tag, attributes: found.extend(attributes)):
        parser.feed(page)
    return found


@pytest.fixture
def scene(store: Store, database: Path) -> Iterator[Scene]:
    made = Scene(store, database)
    yield made
    made.observatory.close()


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        (None, "the worker is starting"),
        (replace(WORKING, phase=Phase.STARTING), "the worker is starting"),
        (replace(WORKING, phase=Phase.DRAINING), "the worker drains"),
        (replace(WORKING, task_types=[]), "no task is ready"),
        (replace(WORKING, plugins_alive=False), "the process that holds the plugins has died"),
        (replace(WORKING, database_fault="its disk is full"), "its disk is full"),
    ],
)
def test_not_ready_says_why(scene: Scene, situation: Situation | None, reason: str) -> None:
    assert (scene.ask("/readyz").status, scene.ask("/readyz").body) == (200, b"ready\n")
    scene.pulse.situation = situation
    response = scene.ask("/readyz")
    assert response.status == 503
    assert response.body.decode().startswith(f"not ready: {reason}")
    assert scene.ask("/healthz").status == 200
    assert scene.samples()["clworker_ready", ""] == 0


def test_a_loop_that_stands_still_is_neither_alive_nor_ready(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST_SILENCE", -1.0)
    assert scene.ask("/healthz").body.startswith(b"not alive: the supervisor has not answered for")
    assert [scene.ask(path).status for path in ("/healthz", "/readyz")] == [503, 503]


def test_a_database_out_of_reach_is_told_everywhere_and_stops_no_answer(scene: Scene) -> None:
    databases.execute(scene.database, "DROP TABLE jobs")
    assert scene.ask("/readyz").status == 503
    assert scene.samples()["clworker_database_up", ""] == 0
    state = json.loads(scene.ask("/state.json").body)
    assert (state["ready"], state["queue"], state["failures"]) == (False, None, [])
    assert "no such table" in scene.ask("/").body.decode()


def test_a_database_that_hangs_keeps_nobody_waiting(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LONGEST_WAIT", 0.05)
    assert scene.observatory.sources is not None
    overviews, release, reads = scene.observatory.sources.store.overviews, threading.Event(), []

    def take() -> Overview:
        reads.append(1)
        release.wait(10)
        return Overview([], [])

    monkeypatch.setattr(overviews, "take", take)
    bodies = {response.body for response in scene.ask_all(["/readyz"] * 50 + ["/healthz"])}
    assert bodies == {b"alive\n", b"not ready: the database has not answered within 0.05 s\n"}
    assert len(reads) == 1
    release.set()


def test_many_who_ask_at_once_cost_one_look(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scene.observatory.sources is not None
    overviews, looks = scene.observatory.sources.store.overviews, []
    take = overviews.take

    def counted() -> Overview:
        looks.append(1)
        return take()

    monkeypatch.setattr(overviews, "take", counted)
    responses = scene.ask_all(["/", "/state.json", "/metrics", "/readyz"] * 50)
    assert {response.status for response in responses} == {200}
    assert len(looks) == 1


def test_jobs_are_counted_by_task_and_outcome_and_their_times_measured(scene: Scene, store: Store) -> None:
    databases.insert(scene.database, [{"job_id": f"{n}", "task_type": HOSTILE, "created_at": n} for n in range(2)])
    claims = store.claims.claim("instance", [HOSTILE], 2)
    done = Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED)
    scene.metrics.job_ended(Claim(claims[0].job, "token", 3_000), done, 0.4)
    scene.metrics.job_ended(Claim(claims[1].job, "token", 100), Outcome.failed("no", Cause.TIME_LIMIT), 7.0)
    scene.metrics.job_returned(claims[0], Cause.DIED)
    scene.metrics.job_rescued()
    scene.metrics.claim_lost(claims[0])
    found = scene.samples()
    assert found["clworker_jobs_finished_total", f"completed {HOSTILE}"] == 1
    assert found["clworker_jobs_finished_total", f"time-limit {HOSTILE}"] == 1
    assert found["clworker_jobs_returned_total", f"died {HOSTILE}"] == 1
    assert (found["clworker_jobs_rescued_total", ""], found["clworker_claims_lost_total", ""]) == (1, 1)
    assert found["clworker_job_waiting_seconds_bucket", f"0.1 {HOSTILE}"] == 1
    assert found["clworker_job_waiting_seconds_sum", HOSTILE] == pytest.approx(3.099)
    assert found["clworker_job_running_seconds_bucket", f"0.5 {HOSTILE}"] == 1
    assert found["clworker_job_running_seconds_count", HOSTILE] == 2
    history = json.loads(scene.ask("/state.json").body)["history"]
    assert (sum(history["completed"]), sum(history["failed"])) == (1, 1)


def test_what_stands_now_is_measured_at_each_look(scene: Scene) -> None:
    waiting: list[dict[str, Any]] = [{"job_id": f"w-{n}", "task_type": "zoom", "created_at": 1000} for n in range(3)]
    databases.insert(scene.database, waiting)
    databases.insert(scene.database, [{"job_id": "r", "task_type": "zoom", "status": "processing"}])
    job = RunningJob("r", "zoom", 40, 1.5)
    own = SlotState(os.getpid(), job)
    scene.pulse.situation = replace(WORKING, slots=[own, SlotState(1 << 30, None)])
    found = scene.samples()
    assert (found["clworker_slots", ""], found["clworker_slots_busy", ""], found["clworker_ready", ""]) == (2, 1, 1)
    assert (found["clworker_queue_jobs", "zoom"], found["clworker_running_jobs", "zoom"]) == (3, 1)
    assert found["clworker_queue_oldest_age_seconds", "zoom"] > 1e9
    assert found["clworker_slot_memory_bytes", "0"] > 1 << 20
    assert (found["clworker_mqtt_connected", ""], found["clworker_database_up", ""]) == (0, 1)
    state = json.loads(scene.ask("/state.json").body)
    told = {"job_id": "r", "task_type": "zoom", "progress": 40, "seconds": 1.5}
    assert (state["slots"][0]["job"], state["slots"][1]["job"]) == (told, None)


def test_metric_names_keep_to_the_conventions(scene: Scene) -> None:
    families = list(text_string_to_metric_families(scene.ask("/metrics").body.decode()))
    for family in families:
        assert family.documentation, family.name
        if family.name.startswith("clworker_"):
            assert family.type != "histogram" or family.name.endswith("_seconds"), family.name
            assert not family.name.endswith(("_milliseconds", "_kib", "_count")), family.name
            totals = {sample.name.endswith("_total") for sample in family.samples}
            assert totals <= {family.type == "counter"}, family.name
    assert not [sample for family in families for sample in family.samples if sample.name.endswith("_created")]


def test_the_page_without_scripts_shows_what_others_wrote_as_text(scene: Scene) -> None:
    long = "x" * 1_000_000
    failed = {"status": "error", "completed_at": 5}
    rows: list[dict[str, Any]] = [
        {"job_id": HOSTILE, "task_type": HOSTILE, "error_message": HOSTILE, **failed},
        {"job_id": long, "task_type": long, "error_message": long, **failed},
        {"job_id": "w", "task_type": HOSTILE},
    ]
    databases.insert(scene.database, rows)
    scene.pulse.situation = replace(WORKING, slots=[SlotState(1, RunningJob(HOSTILE, HOSTILE, 40, 1.0))])
    page = scene.ask("/").body.decode()
    assert page.count("<script>") == 1 and "<img" not in page and "\u202e" not in page and "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    assert "40 %" in page
    assert len(page) < 60_000 and len(scene.ask("/state.json").body) < 20_000


def test_the_policy_lets_nothing_run_but_the_page_itself_and_nothing_is_loaded(scene: Scene) -> None:
    response = scene.ask("/")
    page, policy = response.body.decode(), response.headers["Content-Security-Policy"]
    for kind in ("script", "style"):
        (inside,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    attributes = attributes_of(page)
    assert not [name for name, _ in attributes if name == "style" or name.startswith("on")]
    addresses = [value or "" for name, value in attributes if name in ("src", "href", "action", "srcset", "data")]
    assert addresses and all(address.startswith(("/", "data:")) for address in addresses)


@pytest.mark.parametrize(
    ("host", "answers"),
    [
        *((host, True) for host in ("", "localhost", "a.localhost", "127.0.0.1", "10.1.2.3", "[::1]", "bound.example")),
        *((host, False) for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[]")),
    ],
)
def test_a_name_that_another_site_has_point_here_gets_no_text_of_jobs(scene: Scene, host: str, answers: bool) -> None:
    assert scene.ask("/healthz", host).status == 200  # probes use names of their own
    for path in ("/", "/state.json"):
        if answers:
            assert scene.ask(path, host).status == 200
        else:
            with pytest.raises(Refused, match="IP address"):
                scene.ask(path, host)


def test_an_address_that_is_not_there_is_answered_with_those_that_are(scene: Scene) -> None:
    with pytest.raises(Refused, match=r"only / /state\.json /healthz /readyz /metrics") as refusal:
        scene.ask("/admin")
    assert refusal.value.status == 404


def test_the_charts_have_every_span_of_the_last_minutes_and_forget_older_ones() -> None:
    now = 1000 * SPAN
    history = History(lambda: now)
    history.note(completed=True, waited=1.0)
    history.note(completed=False, waited=3.0)
    now += SPAN
    history.note(completed=True, waited=0.0)
    *_, before, last = history.entries()
    assert (before.completed, before.failed, before.average_wait, before.longest_wait) == (1, 1, 2.0, 3.0)
    assert (last.completed, len(history.entries())) == (1, ENTRIES)
    now += SPAN * (ENTRIES - 1)
    assert [entry.completed for entry in history.entries()] == [1] + [0] * (ENTRIES - 1)
    now += SPAN
    assert {entry.average_wait for entry in history.entries()} == {None}
