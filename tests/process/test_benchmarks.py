"""The benchmarks that users can run, in small: no rival is needed, and no speed is asserted."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import chart, report
from benchmarks.contenders.bare import BareLoop
from benchmarks.contenders.clworker import Clworker
from benchmarks.contenders.contender import Contender, Queue
from benchmarks.context import Context
from benchmarks.plan import QUICK
from benchmarks.processes import running
from benchmarks.results import NotMeasured, Result
from benchmarks.rounds import completions_per_second, interleaved
from benchmarks.sections import SECTIONS, queue
from benchmarks.servers import Servers
from tests.support.processes import lives

PLAN = replace(QUICK, jobs=600, seconds=20.0)
RATES = [
    Result("queue", "bare loop", "1 at a time", "jobs/s", [900.0, 1000.0, 1300.0], "synchronous=FULL"),
    Result("queue", "clworker & co", "1 at a time", "jobs/s", [400.0, 500.0, 450.0]),
    Result("queue", "absent", "1 at a time", "jobs/s", [], note="not installed: absent"),
]


class Absent(Contender):
    """Somebody whose package is not installed."""

    name = "absent"
    distributions = ("no-such-distribution",)

    def settings(self, slots: int) -> str:
        raise AssertionError("nothing was measured")

    @contextmanager
    def open(self, folder: Path) -> Iterator[Queue]:
        raise AssertionError("it must be checked before")


def test_contenders_are_measured_in_turn_and_one_that_is_not_installed_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    with Servers(tmp_path) as servers:
        context = Context(PLAN, tmp_path / "queue", servers, said.append)
        loop, ours, absent = queue.compare(context, [BareLoop(), Clworker(), Absent()])

    assert (loop.note, ours.note) == ("", "")
    assert loop.median is not None and ours.median is not None
    assert [(ratio.to, ratio.value) for ratio in ours.ratios] == [("bare loop", ours.median / loop.median)]
    assert "synchronous=FULL" in ours.settings
    assert absent.median is None
    assert absent.note == "not installed: no-such-distribution"
    assert len(said) == 3
    assert list((tmp_path / "queue").iterdir()) == [], "every round removes its files"


def test_every_round_is_repeated_in_turn_but_for_those_that_failed() -> None:
    order: list[str] = []

    def good() -> float:
        order.append("good")
        return 1.0

    def bad() -> float:
        order.append("bad")
        raise NotMeasured("no luck")

    samples = interleaved(2, {"first": good, "bad": bad, "second": good})

    assert order == ["good", "bad", "good", "good", "good"]
    assert samples["first"].values == samples["second"].values == [1.0, 1.0]
    assert (samples["bad"].values, samples["bad"].note) == ([], "no luck")


def test_rounds_are_repeated_only_within_the_budget() -> None:
    said: list[str] = []
    samples = interleaved(3, {"only": lambda: 1.0}, said.append, budget=0.0)
    assert samples["only"].values == [1.0]
    assert said[-1].startswith("no more than 1 of 3 rounds")


def test_workers_that_end_are_reported_with_their_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such queue')"]
    told = pytest.raises(NotMeasured, match="ended with code 1: no such queue")
    with running([command], dict(os.environ), tmp_path / "log") as workers, told:
        completions_per_second(lambda: 0, 10, 1.0, workers)


def test_a_round_that_is_over_before_the_clock_starts_has_no_rate(tmp_path: Path) -> None:
    told = pytest.raises(NotMeasured, match="all 10 jobs were completed before the clock started; more are needed")
    with running([["sleep", "60"]], dict(os.environ), tmp_path / "log") as workers, told:
        completions_per_second(lambda: 10, 10, 1.0, workers)


def test_processes_are_ended_with_the_block(tmp_path: Path) -> None:
    with running([["sleep", "60"]] * 2, dict(os.environ), tmp_path / "log") as workers:
        pids = workers.pids
        assert all(map(lives, pids))
    assert not any(map(lives, pids))


def test_table_has_median_spread_and_ratios_and_says_why_a_figure_is_missing() -> None:
    compared = [RATES[0], RATES[1].with_ratios(("bare loop", RATES[0]), ("absent", RATES[2])), RATES[2]]
    header, _, first, second, third = report.table(compared).splitlines()

    assert header.split() == ["section", "what", "case", "n", "median", "min", "to", "max", "unit", "compared", "under"]
    assert first.split()[:2] == ["queue", "bare"]
    first, second = (" ".join(line.split()) for line in (first, second))
    assert "1,000 900 to 1,300 jobs/s" in first and "synchronous=FULL" in first
    assert "450 400 to 500" in second and "0.45 x bare loop" in second and "absent" not in second
    assert third.endswith("not installed: absent")


def test_picture_is_well_formed_and_has_a_bar_for_each_figure(tmp_path: Path) -> None:
    path = tmp_path / "results.svg"
    chart.write(path, {"processor": "A<B> & sons, 2 cores", "python": "CPython 3.11"}, RATES)

    root = ElementTree.parse(path).getroot()
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    bars = [bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if float(bar.attrib["x"]) > 100]
    widths = {bar.attrib["class"]: float(bar.attrib["width"]) for bar in bars}
    assert set(widths) == {"theirs0", "ours0"}
    assert widths["ours0"] / widths["theirs0"] == pytest.approx(0.45, abs=0.01)
    assert {"bare loop", "clworker & co", "A<B> & sons, 2 cores, CPython 3.11"} <= set(texts)
    assert "absent" not in texts


def test_command_writes_every_sample_and_refuses_an_unknown_section(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks"]
    wrong = subprocess.run([*command, "speed"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert f"unknown section 'speed'; there are {', '.join(SECTIONS)}" in wrong.stderr

    facts = {"processor": "one, 2 cores"}
    report.write_json(tmp_path / "results.json", facts, RATES)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["machine"] == facts
    assert [result["samples"] for result in written["results"]] == [list(result.samples) for result in RATES]
    assert [result["median"] for result in written["results"]] == [1000.0, 450.0, None]
