"""Carries out a plan on real workers, a real broker and a real database, and judges what is left."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import audit, checks, servers
from tests.chaos.evidence import FINAL, Evidence
from tests.chaos.fleet import MARKER, Fleet
from tests.chaos.plan import Act, Deed, JobKind, Plan, PlannedJob
from tests.chaos.report import Report, requeues_of
from tests.support import databases
from tests.support.broker import Broker
from tests.support.photos import photo
from tests.support.plugins import PluginFolder
from tests.support.processes import with_variable
from tests.support.program import Program
from tests.support.watcher import standing

PATIENCE = 60.0
"""Seconds that the workers get, once nobody disturbs them any more, to end every job."""

_BROKER_DEEDS = {
    Deed.BROKER_KILL: Broker.kill,
    Deed.BROKER_END: Broker.stop,
    Deed.BROKER_START: Broker.start,
    Deed.BROKER_STOP: Broker.pause,
    Deed.BROKER_CONTINUE: Broker.resume,
}


class Chaos:
    """One chaos run in an empty folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._faults: list[str] = []
        self._server_deeds: Counter[str] = Counter()
        self._server = folder / "server"
        self._prepare_files()
        self._database = servers.made(plan.database, self._server / "media_store.db")
        (folder / "broker").mkdir(parents=True)
        self._broker = Broker(folder / "broker", persistent=True)
        plugins = PluginFolder(folder / "plugins")
        tasks = Path(__file__).with_name("tasks.py").read_text()
        plugins.install("chaos-tasks", tasks, {"chaos": "Chaos"})
        self._marks = folder / "marks"
        self._marks.mkdir()
        environ = {"PYTHONPATH": str(plugins.path), **self._broker.environ, **self._database.environ}
        self._program = Program(self._server, environ)
        self._fleet = Fleet(self._program, folder / "workers", plan)
        (folder / "plan.txt").write_text(str(plan))
        self._diary = folder / "deeds.txt"

    def run(self) -> Report:
        """Carry out the plan, wait for the jobs, stop everybody, and look at what is left."""
        try:
            audit.install(self._database.place)
            self._broker.start()
            with self._fleet:
                self._disturb()
                self._settle()
                self._stop_all()
            return self._report()
        finally:
            self._broker.stop()
            self._database.end()

    def _prepare_files(self) -> None:
        (self._server / "compute" / "out").mkdir(parents=True)
        photo(self._server / "compute" / "photo.jpg")

    def _disturb(self) -> None:
        begin = time.monotonic()
        producer = threading.Thread(target=self._produce, args=(begin,))
        producer.start()
        try:
            for act in self._plan.acts:
                self._fleet.tend_until(begin + act.at)
                self._perform(act)
        finally:
            producer.join()

    def _perform(self, act: Act) -> None:
        if act.worker is not None:
            self._fleet.perform(act.worker, act.deed)
        elif act.deed in _BROKER_DEEDS:
            _BROKER_DEEDS[act.deed](self._broker)
            self._server_deeds[act.deed] += 1
        elif self._database.perform(act.deed):
            self._server_deeds[act.deed] += 1

    def _produce(self, begin: float) -> None:
        for job in self._plan.jobs:
            time.sleep(max(0.0, begin + job.at - time.monotonic()))
            if fault := self._database.insert(self._row(job)):
                self._faults.append(f"the producer could not queue {job.job_id}: {fault}")

    def _row(self, job: PlannedJob) -> dict[str, object]:
        compute = self._server / "compute"
        params: dict[str, object] = {
            "input_paths": [str(compute / "photo.jpg")],
            "output_paths": [str(compute / "out" / job.output)],
        }
        if job.kind is JobKind.PICTURE:
            width, height = checks.PICTURE_SIZE
            params |= {"width": width, "height": height, "maintain_aspect_ratio": False}
        else:
            params |= {"kind": job.kind, "seconds": job.seconds, "marks": str(self._marks)}
        task_type = "image_resize" if job.kind is JobKind.PICTURE else "chaos"
        return {"job_id": job.job_id, "task_type": task_type, "params": params, "max_retries": job.max_retries}

    def _settle(self) -> None:
        """Let whoever lives, one at least, end the queue; then only the living may be seen."""
        deadline = time.monotonic() + PATIENCE
        while self._unfinished() and time.monotonic() < deadline:
            self._tend_one_at_least()
        names = self._tend_one_at_least()
        while (seen := set(standing(self._broker.port))) != names and time.monotonic() < deadline:
            names = self._tend_one_at_least()
        if seen != names:
            self._faults.append(f"the broker shows {sorted(seen)} while {sorted(names)} live")
        for run in self._fleet.runs:
            if run.ended and (left := with_variable(MARKER, run.marker)):
                self._faults.append(f"processes {left} of a dead worker still run: {run.marker}")

    def _tend_one_at_least(self) -> set[str]:
        """Tend for a moment and return who lives; one that was just killed may seem to live until then."""
        if not self._fleet.living:
            self._fleet.perform(0, Deed.START)
        self._fleet.tend_until(time.monotonic() + 0.1)
        return {run.name for run in self._fleet.living}

    def _unfinished(self) -> list[dict[str, object]]:
        return databases.rows(self._database.place, f"SELECT job_id FROM jobs WHERE status NOT IN {FINAL} LIMIT 1")

    def _stop_all(self) -> None:
        for run in self._fleet.living:
            run.do(Deed.TERMINATE)
        for run in self._fleet.runs:
            run.worker.result()
            if left := with_variable(MARKER, run.marker):
                self._faults.append(f"processes {left} outlive their worker: {run.marker}")
        if seen := standing(self._broker.port):
            self._faults.append(f"the broker still shows {sorted(seen)} after the end of all workers")

    def _after_a_fresh_start(self) -> Iterator[str]:
        """A worker that starts now has nothing to rescue and nothing to run."""
        ended = self._program.run("once", "--fail-when-empty")
        if (ended.code, ended.stdout, ended.log) != (3, "", []):
            yield f"a fresh worker ended with {ended.code}: {ended.stdout}{ended.stderr}"

    def _report(self) -> Report:
        runs = self._fleet.runs
        hits = sorted((done.at, run.marker, done.deed) for run in runs for done in run.done)
        self._diary.write_text("".join(f"{at:.3f} {deed} {marker}\n" for at, marker, deed in hits))
        evidence = Evidence.read(self._database.place)
        deeds = self._server_deeds + Counter(done.deed for run in runs for done in run.done)
        deeds[Deed.START] = len(runs)
        errors = [error for run in runs for error in checks.lock_errors(run)]
        report = Report(self._plan, deeds, evidence, errors, requeues_of(runs, evidence), self._faults)
        report.faults += [
            *checks.job_faults(self._plan, evidence),
            *checks.left_behind(evidence),
            *self._after_a_fresh_start(),
            *(fault for run in runs for fault in checks.run_faults(run, self._plan)),
            *errors,
        ]
        return report
