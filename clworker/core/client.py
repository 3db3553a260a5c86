"""For services that embed clworker: queue jobs, look them up, watch and cancel them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from clworker.core import caretaker, submission
from clworker.core.errors import JobNotFound, PluginHostFailed, UsageFault
from clworker.core.frames import Message
from clworker.core.models.jobs import HIGHEST_PRIORITY, ComputeJob, ComputeJobStatus
from clworker.core.models.requests import JobFilter, JobRequest
from clworker.core.presence.broadcaster import open_broadcaster
from clworker.core.presence.messages import JobEvent
from clworker.core.settings import Settings
from clworker.core.store.care import Action
from clworker.core.store.store import Store
from clworker.core.tasks.plugins import Plugins
from clworker.core.watching import Watch


class JobClient:
    """A producer's side of the queue. Keeps open what costs time to open, until ``close``.

    May be used from any number of threads; every method blocks, so a program with an event
    loop calls them by ``asyncio.to_thread``. Use it as a context manager, or close it.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the database. Raises StoreUnavailable and SchemaMismatch."""
        self._settings = settings
        self._store = Store(settings.database_url, home=settings.database_path)
        self._broadcaster = open_broadcaster(settings)
        self._publishing = Lock()
        # One thread for all that the plugins are asked: their process is killed when the thread that
        # started it ends, and those of a web service come and go.
        self._asker = ThreadPoolExecutor(1, "clworker-plugins")
        self._plugins: Plugins | None = None
        self._closed = False

    def __enter__(self) -> "JobClient":
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def submit(
        self,
        task_type: str,
        inputs: Sequence[Path] = (),
        params: Mapping[str, Any] | None = None,
        *,
        output_dir: Path | None = None,
        priority: int = 5,
    ) -> ComputeJob:
        """Check the job against its task, copy its inputs into the job's folder, queue it and tell the others.

        ``params`` are the task's parameters but for the paths; ``output_dir`` None means the
        job's own folder; of ``priority``, 0 to 10, the higher goes first. Raises UsageFault
        (TaskUnknown, ParamsRefused), StagingFailed, PluginHostFailed and StoreUnavailable,
        leaving nothing behind. A broker that is away is no failure.
        """
        if not 0 <= priority <= HIGHEST_PRIORITY:
            raise UsageFault(f"priority is {priority}, not 0 to {HIGHEST_PRIORITY}")
        submission.check_inputs(inputs)
        values = dict(params or {})
        answer = self._asker.submit(self._prepare, task_type, values, len(inputs)).result()
        folder = None if output_dir is None else output_dir.absolute()
        request = JobRequest(task_type, tuple(inputs), {}, folder, priority)
        prepared = submission.PreparedParams(answer["params"], answer["takes_files"], answer["format"])
        job = submission.submit(self._settings, self._store, request, prepared)
        with self._publishing:
            self._broadcaster.publish_event(JobEvent(job.job_id, ComputeJobStatus.QUEUED, 0))
        return job

    def get(self, job_id: str) -> ComputeJob | None:
        """Return the job as it stands, or None when there is none. Raises StoreUnavailable."""
        return self._store.jobs.get(job_id)

    def matching(self, wanted: JobFilter | None = None) -> Sequence[ComputeJob]:
        """Return the jobs that match, newest first. Raises StoreUnavailable."""
        return self._store.jobs.matching(wanted or JobFilter())

    def watch(self, job_id: str, timeout: float | None = None) -> Iterator[ComputeJob]:
        """Yield the job as it stands, then after each change, up to and with its end.

        ``timeout`` is in seconds, for all of it. Raises JobNotFound, also when the job is
        deleted meanwhile, TimeoutError and StoreUnavailable.
        """
        deadline = None if timeout is None else monotonic() + timeout
        # A store of its own: a watch may last for hours, and takes nothing from the others' connections.
        with closing(Store(self._settings.database_url, home=self._settings.database_path)) as store:
            _see_that_it_is(store.jobs.get(job_id), job_id)
            with closing(Watch(store, job_id, 1)) as watch:
                while True:
                    look = watch.wait()
                    for job in look.changed if look else ():
                        yield job
                        if job.is_final:
                            return
                    if deadline is not None and monotonic() > deadline:
                        raise TimeoutError(f"job {job_id} has not ended within {timeout:g} s")

    def wait(self, job_id: str, timeout: float | None = None) -> ComputeJob:
        """Wait for some worker to end the job and return it. Raises what ``watch`` raises."""
        *_, last = self.watch(job_id, timeout)
        return last

    def cancel(self, job_id: str) -> bool:
        """End a job that is queued or running, and tell the others; False when it had ended already.

        Raises JobNotFound and StoreUnavailable.
        """
        _see_that_it_is(self.get(job_id), job_id)  # else it would be taken for the beginning of an id
        done = caretaker.cancel(self._settings, self._store, [job_id])
        if done.failure is not None:
            raise done.failure
        with self._publishing:
            caretaker.tell(self._broadcaster, done)
        return [one.action for one in done.cared] == [Action.CANCELLED]

    def close(self) -> None:
        """End the plugins' process and close every connection; twice is safe."""
        if self._closed:
            return
        self._closed = True
        self._asker.submit(self._forget_plugins).result()
        self._asker.shutdown()
        with self._publishing:
            self._broadcaster.close()
        self._store.close()

    def _prepare(self, task_type: str, values: dict[str, Any], inputs: int) -> Message:
        if self._plugins is None:
            self._plugins = Plugins(self._settings.plugin_timeout)
        try:
            return self._plugins.prepare_values(task_type, values, inputs)
        except PluginHostFailed:
            self._forget_plugins()  # the next job gets a new process
            raise

    def _forget_plugins(self) -> None:
        plugins, self._plugins = self._plugins, None
        if plugins is not None:
            plugins.close()


def _see_that_it_is(job: ComputeJob | None, job_id: str) -> None:
    if job is None:
        raise JobNotFound(f"no job has the id {job_id!r}")
