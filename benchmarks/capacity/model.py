"""What a number of workers and jobs costs the server, added up from what each unit was measured to cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.capacity.claimer import HEARTBEAT_INTERVAL
from benchmarks.capacity.load import Carried
from benchmarks.loops.carry import POLL_INTERVAL
from benchmarks.results import Result
from clworker.core.worker.membership import WATCH_EVERY, watch_everyone_every

_FLEETS = (10, 30, 100, 300)


@dataclass(frozen=True)
class Costs:
    """Milliseconds of the server's processor time for each unit."""

    job: float
    """To claim one job and settle it, alone in its transaction."""
    grouped_job: float
    beat: float
    look: float
    insert: float
    """To queue a job, with its NOTIFY."""
    look_around: float
    """To look for dead workers of the same machine, of whom there is none."""
    survey: float
    """To look after other workers, of whom there is none."""
    survey_each: float
    """What that costs more for each who is registered."""

    @classmethod
    def of(
        cls,
        job: float,
        grouped_job: float,
        beat: float,
        look: float,
        insert: float,
        look_around: float,
        surveys: Mapping[int, Carried],
    ) -> "Costs":
        """Build it from what was measured; ``surveys`` by the number of registered workers."""
        few, many = min(surveys), max(surveys)
        each = max(0.0, (surveys[many].cost - surveys[few].cost) / (many - few))
        survey = max(0.0, surveys[few].cost - few * each)
        return cls(job, grouped_job, beat, look, insert, look_around, survey, each)

    def idle(self, workers: int, neighbours: int = 0) -> float:
        """Return the part of a core that idle workers take, at the default intervals.

        Each has so many ``neighbours`` on its machine.
        """
        around = self.look_around + neighbours * self.survey_each
        survey = (self.survey + workers * self.survey_each) / watch_everyone_every(HEARTBEAT_INTERVAL)
        others = around / WATCH_EVERY + self.look / POLL_INTERVAL + self.beat / HEARTBEAT_INTERVAL
        return workers * (survey + others) / 1000

    def jobs_a_second(self, workers: int) -> float:
        """Return how many single jobs a second fill one core beside so many idle workers, all of whom each wakes."""
        return max(0.0, 1 - self.idle(workers)) * 1000 / (self.insert + self.job + workers * self.look)

    def results(self, section: str) -> list[Result]:
        """Return what the units add up to for fleets of different sizes."""
        said = (
            f"looks around {self.look_around:.2f} ms, survey {self.survey:.2f} + {self.survey_each:.4f} ms a worker, "
            f"look {self.look:.2f}, beat {self.beat:.2f}"
        )
        idle = [
            Result(
                section, "model: idle workers", f"{workers} workers", "% of a core", [100 * self.idle(workers)], said
            )
            for workers in _FLEETS
        ]
        job = f"queued {self.insert:.2f}, claimed and settled {self.job:.2f} ms"
        busy = [
            Result(
                section,
                "model: a core is full at",
                f"{workers} idle workers, jobs one by one",
                "jobs/s",
                [self.jobs_a_second(workers)],
                f"{job}, a look by each worker",
            )
            for workers in _FLEETS
        ]
        backlog = Result(
            section, "model: a core is full at", "a backlog, claimed in groups", "jobs/s", [1000 / self.grouped_job], ""
        )
        return [*idle, *busy, backlog]
