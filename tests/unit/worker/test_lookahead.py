"""A slot's next job is asked for shortly before the end of the one that runs, and does not wait for long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from clworker.core.worker.lookahead import PATIENCE, LookAhead, lead

DEADLINE = 5.0


def looking_ahead(body: Callable[[LookAhead, asyncio.Event, asyncio.Event], Awaitable[None]]) -> None:
    """Run ``body`` with a look-ahead, the event of its asking and the event of its giving up."""

    async def run() -> None:
        asked, given_up = asyncio.Event(), asyncio.Event()
        async with asyncio.timeout(DEADLINE):
            await body(LookAhead(asked.set, given_up.set), asked, given_up)

    asyncio.run(run())


@pytest.mark.parametrize("expected", [0.0, 0.01, 0.03])
def test_it_asks_shortly_before_the_expected_end(expected: float) -> None:
    async def body(ahead: LookAhead, asked: asyncio.Event, given_up: asyncio.Event) -> None:
        begun = asyncio.get_running_loop().time()
        ahead.job_begins(expected)
        assert not ahead.due
        await asked.wait()
        assert ahead.due and not ahead.given
        assert asyncio.get_running_loop().time() - begun >= expected - lead(expected)

    looking_ahead(body)


def test_what_was_given_goes_back_when_the_job_before_it_takes_longer() -> None:
    async def body(ahead: LookAhead, asked: asyncio.Event, given_up: asyncio.Event) -> None:
        ahead.job_begins(0.0)
        await asked.wait()
        ahead.note_given()
        assert ahead.given and not ahead.due
        await given_up.wait()
        assert not ahead.given and not ahead.due

    looking_ahead(body)


def test_a_stop_and_a_job_of_unknown_length_end_all_of_it() -> None:
    async def body(ahead: LookAhead, asked: asyncio.Event, given_up: asyncio.Event) -> None:
        ahead.job_begins(0.0)
        ahead.stop()
        ahead.job_begins(0.0)
        ahead.job_begins(None)
        ahead.note_given()
        ahead.stop()
        # Timers fire in the order of their times: this one after any that was left.
        await asyncio.sleep(lead(0.0) + PATIENCE)
        assert not asked.is_set() and not given_up.is_set() and not ahead.due

    looking_ahead(body)
