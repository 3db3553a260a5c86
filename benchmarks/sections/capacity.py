"""What one PostgreSQL carries: what claims, heartbeats and idle workers cost it, and where it breaks first."""

import shutil
from collections.abc import Mapping

from benchmarks.capacity.fan_out import heard_by
from benchmarks.capacity.load import Carried, Load, carry
from benchmarks.capacity.model import Costs
from benchmarks.context import Context
from benchmarks.results import NotMeasured, Result, plural
from benchmarks.server_deployment import ServerDeployment

NAME = "capacity"

_ALONE = 8
"""Connections for what is measured alone: enough to keep the server busy. One of the plan's ``claimers``."""
_GROUP = 8
"""Jobs that a worker claims and settles at once, at most."""
_QUEUED = 25_000
"""Jobs for a round of claims: more than it can get through."""
_SAMPLES = 10
_SURVEYORS = 2


class Capacity:
    """The measurements of one run, over one database."""

    def __init__(self, context: Context, deployment: ServerDeployment) -> None:
        self._plan = context.plan
        self._say = context.say
        self._server = context.servers.postgresql
        self._deployment = deployment
        self.found: list[Result] = []

    def run(self) -> None:
        """Measure each unit alone, then some together, then see whether the units add up."""
        look = self._carried("looks at an empty queue", plural(_ALONE, "connection"), Load("look", _ALONE))
        beat = self._carried("heartbeats", plural(_ALONE, "connection"), Load("beat", _ALONE))
        claims = {workers: self._claims(workers) for workers in self._plan.claimers}
        grouped = self._claims(_ALONE, _GROUP)
        self._claims_beside_heartbeats(claims, beat)
        elsewhere = max(self._plan.registered)
        self._deployment.register(elsewhere)
        around = self._carried(
            "looks around on its machine", f"{elsewhere} registered elsewhere", Load("look around", _SURVEYORS)
        )
        surveys = {registered: self._survey(registered) for registered in self._plan.registered}
        queued = self._inserts()
        self._fan_out()
        costs = Costs.of(claims[_ALONE].cost, grouped.cost, beat.cost, look.cost, queued.cost, around.cost, surveys)
        self._deployment.register(0)
        for workers in self._plan.idle_workers:
            self._idle(workers, costs)
        self.found += costs.results(NAME)

    def _claims(self, workers: int, group: int = 1) -> Carried:
        self._deployment.refill(_QUEUED)
        case = f"{plural(workers, 'connection')}, {plural(group, 'job')} at a time"
        return self._carried("claim and settle", case, Load("exchange", workers, group))

    def _claims_beside_heartbeats(self, claims: Mapping[int, Carried], beat: Carried) -> None:
        """See whether two units that were measured alone add up when they meet."""
        self._deployment.refill(_QUEUED)
        carried = self._carry(Load("exchange", _ALONE), Load("beat", _ALONE))
        beats = carried.done[1] / carried.seconds
        expected = (carried.rate * claims[_ALONE].cost + beats * beat.cost) / 1000
        settings = (
            f"beside {beats:,.0f} heartbeats/s from {_ALONE} more; both take {carried.busy:.0%} of a core, "
            f"the model says {expected:.0%}"
        )
        self._note("claim and settle", f"{plural(_ALONE, 'connection')}, beside heartbeats", [carried.rate], settings)

    def _survey(self, registered: int) -> Carried:
        self._deployment.register(registered)
        return self._carried("looks after other workers", f"{registered} registered", Load("survey", _SURVEYORS))

    def _inserts(self) -> Carried:
        """Queue jobs as others do and as clworker does; return the latter."""
        for kind, case in (("insert", "no NOTIFY"), ("insert+notify", "each with NOTIFY")):
            case = f"{plural(_ALONE, 'connection')}, {case}"
            carried = self._carried("jobs queued one by one", case, Load(kind, _ALONE))
        return carried

    def _fan_out(self) -> None:
        for listeners in self._plan.listeners:
            heard = heard_by(self._deployment.url, self._server, listeners, _SAMPLES)
            settings = f"{heard.cost:.2f} ms of the server's processor each"
            self._note("one NOTIFY until all have heard", f"{listeners} listen", heard.milliseconds, settings, "ms")

    def _idle(self, workers: int, costs: Costs) -> None:
        seconds = self._plan.idle_seconds
        carried = carry(self._deployment, self._server, [Load("idle", workers)], seconds, sampled=False)
        expected = 100 * costs.idle(workers, neighbours=workers)
        settings = f"the model says {expected:.1f}; {carried.memory:.1f} MiB a connection"
        self._note("idle workers", f"{workers} workers", [100 * carried.busy], settings, "% of a core")

    def _carried(self, what: str, case: str, load: Load) -> Carried:
        carried = self._carry(load)
        self._note(what, case, [carried.rate], str(carried))
        return carried

    def _carry(self, *loads: Load) -> Carried:
        return carry(self._deployment, self._server, loads, self._plan.load_seconds)

    def _note(self, what: str, case: str, samples: list[float], settings: str, unit: str = "/s") -> None:
        self.found.append(Result(NAME, what, case, unit, samples, settings))
        self._say(f"{what}, {case}: {samples[0]:.4g} {unit}; {settings}")


def run(context: Context) -> list[Result]:
    """Measure what there is, in one turn: the figures are unit costs, not a comparison."""
    folder = context.new_folder()
    try:
        with ServerDeployment(folder, context.servers.postgresql) as deployment:
            capacity = Capacity(context, deployment)
            try:
                capacity.run()
            except NotMeasured as failure:
                return [*capacity.found, Result(NAME, "the rest", "-", "", [], note=str(failure))]
            return capacity.found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
