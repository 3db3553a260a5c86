"""The nearest names to one that is not known."""

import pytest

from clworker.core.suggestions import did_you_mean, nearest

STATUSES = ["queued", "processing", "completed", "error"]


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("quued", STATUSES, ["queued"]),
        ("ERROR", STATUSES, ["error"]),
        ("done", STATUSES, []),
        ("", STATUSES, []),
        ("job", ["jobs", "job-1", "run"], ["jobs"]),
        ("--heigth", ["--height", "--width", "--help"], ["--height"]),
        ("--json", ["--since", "--limit"], []),
        ("worker", ["worker1", "worker2", "worker3", "worker4"], ["worker1", "worker2", "worker3"]),
        ("\udcff", ["a"], []),
        ("anything", [], []),
    ],
)
def test_the_nearest_names(word: str, known: list[str], found: list[str]) -> None:
    assert nearest(word, known) == found


def test_the_best_comes_first_and_equals_by_name_and_much_worse_ones_not_at_all() -> None:
    assert nearest("abcdefgh", ["abcdefxy", "abcdefgy", "abcdefgx", "abcd"]) == ["abcdefgx", "abcdefgy"]
    assert nearest("abcdefgh", ["abcdefgx", "abcdefghi"]) == ["abcdefghi", "abcdefgx"]


def test_likeness_is_the_callers_choice() -> None:
    assert nearest("3f2b", ["3f2a", "3f00"], cutoff=0.75) == ["3f2a"]
    assert nearest("3f2b", ["3f2a"], cutoff=0.8) == []


@pytest.mark.parametrize(
    ("known", "question"),
    [
        (["xyz"], None),
        (["queue"], "did you mean 'queue'?"),
        (["queue", "queues"], "did you mean 'queue' or 'queues'?"),
        (["queue", "queues", "queued"], "did you mean 'queue', 'queued' or 'queues'?"),
    ],
)
def test_the_question(known: list[str], question: str | None) -> None:
    assert did_you_mean("queue", known) == question
