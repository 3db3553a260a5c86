"""Fields of checks: what hangs or fails in one is told under its name, and holds up no other."""

import threading

from clworker.core.doctor.check import Check, Checks, State, ok
from clworker.core.doctor.field import Field, examine
from clworker.core.errors import StoreUnavailable


def shown(checks: list[Check]) -> list[tuple[str, State, str]]:
    return [(check.name, check.state, check.found) for check in checks]


def test_a_check_that_hangs_is_told_and_what_others_found_is_kept() -> None:
    never = threading.Event()

    def hanging() -> Checks:
        yield ok("first", "fine")
        never.wait()
        return None

    def other() -> Checks:
        yield ok("other", "fine")
        return None

    checks = examine([Field(["first", "second", "third"], hanging, 0.1), Field(["other"], other, 10.0, True)])
    never.set()
    assert shown(checks) == [
        ("first", State.OK, "fine"),
        ("second", State.FAILED, "no answer within 0.1 s"),
        ("third", State.SKIPPED, "second did not answer"),
        ("other", State.OK, "fine"),
    ]


def test_a_failure_ends_its_own_field_only() -> None:
    def refused() -> Checks:
        yield ok("first", "fine")
        raise StoreUnavailable("it is away")

    def broken() -> Checks:
        yield from ()
        raise KeyError("oops")

    checks = examine([Field(["first", "second", "third"], refused, 10.0), Field(["fourth"], broken, 10.0)])
    assert shown(checks) == [
        ("first", State.OK, "fine"),
        ("second", State.FAILED, "it is away"),
        ("third", State.SKIPPED, "second failed"),
        ("fourth", State.FAILED, "the check itself failed: KeyError: 'oops'"),
    ]


def test_a_field_that_ends_early_says_why_the_rest_is_skipped() -> None:
    def short() -> Checks:
        yield ok("first", "fine")
        return "nothing is there"

    checks = examine([Field(["first", "second"], short, 10.0)])
    assert shown(checks)[1:] == [("second", State.SKIPPED, "nothing is there")]
