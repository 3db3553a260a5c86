"""What Prometheus is told. Names and units follow its conventions; each worker has a registry of its own."""

from collections.abc import Iterator

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clworker import __version__
from clworker.core.models.attempts import Cause, Claim, Outcome
from clworker.core.models.jobs import ComputeJobStatus
from clworker.core.web.history import History
from clworker.core.web.messages import Response
from clworker.core.web.snapshot import Snapshot
from clworker.core.worker.situation import Phase

_WAITING = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400)
_RUNNING = (0.002, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


class Metrics:
    """Observes a worker's jobs; what has a value at any moment comes from the latest snapshot."""

    def __init__(self, worker_id: str, history: History) -> None:
        # Counters would else each have a twin that tells when it was made.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # it is not annotated
        self._registry = registry = prometheus.CollectorRegistry()
        self._history = history
        self._state = _State()
        registry.register(self._state)
        prometheus.ProcessCollector(registry=registry)
        info = prometheus.Info("clworker", "The worker.", registry=registry)
        info.info({"worker_id": worker_id, "version": __version__})
        self._finished = prometheus.Counter(
            "clworker_jobs_finished",
            "Jobs that this worker has ended, by how: completed, or why they failed.",
            ["task_type", "outcome"],
            registry=registry,
        )
        self._returned = prometheus.Counter(
            "clworker_jobs_returned",
            "Jobs that this worker had begun and returned to the queue, by why.",
            ["task_type", "cause"],
            registry=registry,
        )
        self._lost = prometheus.Counter(
            "clworker_claims_lost", "Attempts that were not recorded, since the claim was gone.", registry=registry
        )
        self._rescued = prometheus.Counter(
            "clworker_jobs_rescued", "Jobs of dead workers that this worker has taken over.", registry=registry
        )
        self._waiting = prometheus.Histogram(
            "clworker_job_waiting_seconds",
            "From a job's creation to the start of its last run.",
            ["task_type"],
            buckets=_WAITING,
            registry=registry,
        )
        self._running = prometheus.Histogram(
            "clworker_job_running_seconds",
            "How long jobs have run, the last time.",
            ["task_type"],
            buckets=_RUNNING,
            registry=registry,
        )
        self._children: dict[tuple[str, Cause], _Children] = {}

    def job_ended(self, claim: Claim, outcome: Outcome, seconds: float) -> None:
        """Count the job and its times."""
        task = claim.job.task_type
        children = self._children.get((task, outcome.cause))
        if children is None:  # looking the labels up costs more than all the rest
            children = self._children[task, outcome.cause] = (
                self._finished.labels(task, str(outcome.cause)),
                self._waiting.labels(task),
                self._running.labels(task),
            )
        finished, waiting, running = children
        waited = max(0, claim.started_at - claim.job.created_at) / 1000
        finished.inc()
        waiting.observe(waited)
        running.observe(seconds)
        self._history.note(completed=outcome.status is ComputeJobStatus.COMPLETED, waited=waited)

    def job_returned(self, claim: Claim, cause: Cause) -> None:
        """Count the return."""
        self._returned.labels(claim.job.task_type, str(cause)).inc()

    def claim_lost(self, claim: Claim) -> None:
        """Count the loss."""
        self._lost.inc()

    def job_rescued(self) -> None:
        """Count the rescue."""
        self._rescued.inc()

    def exposed(self, snapshot: Snapshot, hindrances: list[str]) -> Response:
        """Return everything in Prometheus's text format."""
        self._state.snapshot, self._state.is_ready = snapshot, not hindrances
        return Response(prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_PLAIN_0_0_4)


_Children = tuple[prometheus.Counter, prometheus.Histogram, prometheus.Histogram]


class _State(Collector):
    """Turns a snapshot into gauges; what is not known has none."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.is_ready = False

    def describe(self) -> Iterator[Metric]:
        """Have nothing collected at registration."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of the snapshot."""
        if self.snapshot is None:
            return
        yield _gauge("clworker_ready", "Whether the worker takes jobs (1) or not (0).", self.is_ready)
        yield from _of_worker(self.snapshot)
        yield from _of_queue(self.snapshot)
        broker = self.snapshot.broker
        if broker is not None:
            yield _gauge("clworker_mqtt_connected", "Whether the MQTT broker is connected.", broker.connected)


def _of_worker(snapshot: Snapshot) -> Iterator[Metric]:
    situation = snapshot.situation
    if situation is None:
        return
    draining = situation.phase is Phase.DRAINING
    yield _gauge("clworker_draining", "Whether the worker lets jobs end and takes no more.", draining)
    yield _gauge("clworker_slots", "Jobs that the worker can run at a time.", len(situation.slots))
    busy = sum(slot.job is not None for slot in situation.slots)
    yield _gauge("clworker_slots_busy", "Slots that run a job.", busy)
    memory = GaugeMetricFamily(
        "clworker_slot_memory_bytes", "Resident memory of a slot's process and its children.", labels=["slot"]
    )
    for number, slot in enumerate(situation.slots):  # by its place: a process that is replaced begins no new series
        if slot.pid in snapshot.memory:
            memory.add_metric([str(number)], snapshot.memory[slot.pid])
    yield memory


def _of_queue(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.situation is None:
        return  # the database is not open yet
    reachable = snapshot.database_fault is None and snapshot.situation.database_fault is None
    yield _gauge("clworker_database_up", "Whether the database answers and takes what there is to record.", reachable)
    if snapshot.overview is None:
        return
    queued = GaugeMetricFamily("clworker_queue_jobs", "Jobs that wait, whoever may run them.", labels=["task_type"])
    oldest = GaugeMetricFamily(
        "clworker_queue_oldest_age_seconds", "Age of the oldest job that waits.", labels=["task_type"]
    )
    running = GaugeMetricFamily("clworker_running_jobs", "Jobs that run, on any worker.", labels=["task_type"])
    for load in snapshot.overview.tasks:
        queued.add_metric([load.task_type], load.queued)
        running.add_metric([load.task_type], load.running)
        if load.oldest_at is not None:
            oldest.add_metric([load.task_type], max(0, snapshot.now - load.oldest_at) / 1000)
    yield from (queued, oldest, running)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=float(value))
