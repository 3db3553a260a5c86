"""The plugins and the processes that run them: each imported, and a slot started and ended."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace

from clworker.core.doctor.check import Check, Checks, failed, ok, warning
from clworker.core.errors import PluginHostFailed
from clworker.core.models.attempts import Death
from clworker.core.settings import Settings
from clworker.core.tasks.discovery import STILL_IMPORTING, TaskInfo, TaskState
from clworker.core.worker.slots import Nursery

NAMES = ("plugins", "slot")
_LOADING_SECONDS = 9.0
_ONE_PLUGIN_SECONDS = 6.0
_SLOT_SECONDS = 2.0


def examine(settings: Settings) -> Checks:
    """Check as a worker does it: the process that imports the plugins also forks the slots."""
    yield from asyncio.run(_examine(settings))
    return "the plugins could not be loaded"


async def _examine(settings: Settings) -> list[Check]:
    patience = min(settings.plugin_timeout, _ONE_PLUGIN_SECONDS)
    with tempfile.TemporaryFile() as lock:  # stands in for the lock file that the slots inherit
        starting = asyncio.create_task(Nursery.start(replace(settings, plugin_timeout=patience), lock.fileno()))
        try:
            async with asyncio.timeout(_LOADING_SECONDS):
                nursery = await asyncio.shield(starting)
            return [*_of_plugins(settings, nursery.discovery.tasks, patience), await _of_slot(nursery)]
        except TimeoutError:
            found = f"the plugins were not all loaded within {_LOADING_SECONDS:g} s"
            return [failed("plugins", found, "see 'clworker list-tasks', which waits longer")]
        except PluginHostFailed as failure:
            return [failed("plugins", str(failure), "see the log lines above, and whether processes can be started")]
        finally:
            await Nursery.stop(starting)


def _of_plugins(settings: Settings, tasks: Sequence[TaskInfo], patience: float) -> list[Check]:
    ready = [task.task_type for task in tasks if task.state is TaskState.READY]
    unknown = [name for name in settings.tasks if name not in {task.task_type for task in tasks}]
    checks = [_of_ready(settings, ready, unknown)]
    for task in tasks:
        if task.state is TaskState.BROKEN:
            found = f"{task.task_type!r} of {task.distribution} {task.version} is broken: {task.reason}"
            # A task that is not asked for does not hold up those that are.
            wanted = task.task_type in settings.tasks or not settings.tasks
            advice = "mend or remove the plugin, or name the tasks to run (WORKER_SUPPORTED_TASKS)"
            if (task.reason or "").startswith(STILL_IMPORTING) and patience < settings.plugin_timeout:
                advice += f"; a worker waits {settings.plugin_timeout:g} s for a plugin, this command {patience:g} s"
            checks.append((failed if wanted else warning)("plugin", found, advice))
        elif task.state is TaskState.SHADOWED:
            found = f"{task.task_type!r} of {task.distribution} {task.version} is shadowed: {task.reason}"
            checks.append(warning("plugin", found, "remove one of the two"))
    return checks


def _of_ready(settings: Settings, ready: Sequence[str], unknown: Sequence[str]) -> Check:
    name = "plugins"
    told = f"{len(ready)} ready: {', '.join(ready)}" if ready else "no task is ready"
    if unknown:
        found = f"WORKER_SUPPORTED_TASKS names {', '.join(map(repr, unknown))}, which no plugin provides; {told}"
        return failed(name, found, "correct the name, or install the plugin")
    if not ready or (settings.tasks and not set(settings.tasks) & set(ready)):
        return failed(name, told, "install a task plugin, or mend one")
    return ok(name, told)


async def _of_slot(nursery: Nursery) -> Check:
    name, advice = "slot", "see whether limits of processes or memory stand in the way (ulimit, cgroup)"
    ended: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(_SLOT_SECONDS):
            slot = await nursery.spawn()
            slot.on_death = lambda death: None if ended.done() else ended.set_result(death)
            slot.close()
            death = await ended
    except (TimeoutError, OSError) as failure:
        reason = str(failure) or f"no answer within {_SLOT_SECONDS:g} s"
        return failed(name, f"no slot could be started and ended: {reason}", advice)
    if death.exit_code != 0:
        return failed(name, f"the slot's process {death}", advice)
    return ok(name, f"a job process was started (pid {slot.pid}) and has ended")
