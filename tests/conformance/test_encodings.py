"""PostgreSQL databases in other encodings than UTF-8, as an old server has them, or one set up without a locale."""

from collections.abc import Iterator

import pytest

from clworker.core.errors import UsageFault
from clworker.core.models.attempts import Cause, Outcome
from clworker.core.models.jobs import ComputeJobStatus, NewJob
from tests.conformance.conftest import TASK, Bench
from tests.support import databases
from tests.support.emptied import Emptied
from tests.support.postgres import Place

FOREIGN = "é … 日本"
KEPT = {"SQL_ASCII": FOREIGN, "LATIN1": r"é \u2026 \u65e5\u672c", "EUC_JP": r"\xe9 \u2026 \u65e5\u672c"}


@pytest.fixture(scope="module", params=list(KEPT))
def encoded(request: pytest.FixtureRequest, postgresql: Emptied, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A new database in an encoding of which its name speaks."""
    encoding = request.param
    locale = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    name = f"in_{encoding.lower()}"
    postgresql.server.execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} {locale}")
    return Place(postgresql.server.url(name), tmp_path_factory.mktemp("home") / "media_store.db")


@pytest.fixture
def bench(encoded: Place) -> Iterator[Bench]:
    """A store over it."""
    store = databases.open_store(encoded)
    yield Bench(store, encoded, "own")
    store.close()


def test_texts_that_the_encoding_has_not_are_kept_as_escapes_and_nothing_is_held_up(bench: Bench) -> None:
    encoding = bench.store.database.label.rpartition("in_")[2].upper()
    bench.store.jobs.add(NewJob("first%job", TASK, {"name": FOREIGN}))
    bench.store.claims.finish(bench.claim(), Outcome.failed(FOREIGN))
    failed = bench.store.jobs.find("first%")
    assert (failed.params, failed.error_message) == ({"name": FOREIGN}, KEPT[encoding])

    bench.store.jobs.add(NewJob("first-done", TASK, {}))
    bench.store.claims.finish(
        bench.claim(), Outcome(ComputeJobStatus.COMPLETED, Cause.COMPLETED, output={"name": FOREIGN})
    )
    assert bench.store.jobs.find("first-").output == {"name": FOREIGN}


@pytest.mark.parametrize("encoded", ["LATIN1"], indirect=True)
def test_a_name_that_the_encoding_has_not_is_refused_in_words(bench: Bench) -> None:
    with pytest.raises(UsageFault, match="has no equivalent in encoding"):
        bench.store.jobs.add(NewJob("named", TASK, {}, created_by=FOREIGN))
    assert bench.store.jobs.get("named") is None
