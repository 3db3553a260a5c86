"""The event loop that a slot's jobs run in, one after another.

A new loop for each job, as ``asyncio.run`` has it, costs more than a short job itself. So
the loop is kept for as long as no job leaves anything in it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class JobLoop:
    """Runs coroutines one at a time, none of which finds a trace of those before it."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._loop: _Loop

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine to its end, and whatever it has left to theirs as ``asyncio.run`` does.

        Raises what the coroutine or its leftovers raise.
        """
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=self._new_loop)
        clean = False
        try:
            self._runner.get_loop().run_until_complete(coroutine)
            clean = self._loop.is_clean()
        finally:
            if not clean:
                self.close()

    def close(self) -> None:
        """Cancel what is left and close the loop; the next job gets a new one."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = _Loop()
        return self._loop


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that can tell whether something is left in it."""

    def __init__(self) -> None:
        self._files = selectors.DefaultSelector()
        super().__init__(self._files)
        self._own_files = len(self._files.get_map())
        self._was_used = False

    def is_clean(self) -> bool:
        """Whether nothing but finished coroutines was here; a timer or a thread may outlive its job."""
        return not self._was_used and len(self._files.get_map()) == self._own_files and not asyncio.all_tasks(self)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._was_used = True
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Args]], Result], *args: *Args
    ) -> asyncio.Future[Result]:
        self._was_used = True
        return super().run_in_executor(executor, func, *args)
