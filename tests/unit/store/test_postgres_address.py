"""URLs of PostgreSQL in libpq's words."""

import pytest

from clworker.core.parsing import database_url
from clworker.core.store.postgres_address import parameters_of


@pytest.mark.parametrize(
    ("rest", "parameters"),
    [
        ("db/media", {"host": "db", "dbname": "media"}),
        ("cl:p%40s%2Fs%3A@db:5433/media", {"user": "cl", "password": "p@s/s:", "host": "db", "port": "5433"}),
        ("cl:it's@[::1]:5433/media", {"password": "it's", "host": "::1", "port": "5433"}),
        ("cl@[fe80::1%25eth0]/media", {"host": "fe80::1%eth0"}),
        ("cl@a:5432,b:5433/media", {"host": "a,b", "port": "5432,5433"}),
        ("cl@a,[::1]:5433/media", {"host": "a,::1", "port": ",5433"}),
        ("/media?host=a&host=b&port=5433", {"host": "a,b", "port": "5433"}),
        ("/media?host=a:5432&host=b:5433", {"host": "a,b", "port": "5432,5433"}),
        ("/media?host=a,b&port=5432,5433", {"host": "a,b", "port": "5432,5433"}),
        ("/media?host=/var/run/postgresql", {"host": "/var/run/postgresql", "dbname": "media"}),
        ("%2Fvar%2Frun%2Fpostgresql/media", {"host": "/var/run/postgresql"}),
        ("cl@db:5433/media?host=other", {"host": "other", "port": "5433"}),
        ("/?service=media", {"service": "media"}),
        ("db/?dbname=media", {"host": "db", "dbname": "media"}),
        ("db/media?ssl=require", {"sslmode": "require"}),
        ("db/media?options=-c%20search_path%3Da,b", {"options": "-c search_path=a,b"}),
        ("db/media?options=-c+search_path%3Da", {"options": "-c search_path=a"}),
    ],
)
def test_each_part_is_found(rest: str, parameters: dict[str, str]) -> None:
    found = parameters_of(database_url(f"postgresql://{rest}"))
    assert {**found, **parameters} == found
    assert "" not in found.values()


@pytest.mark.parametrize("rest", ["a:1,b:x/media", "a:0,b/media", "a,b", "db/?service=", "cl@a:70000,b:5432/media"])
def test_what_can_lead_nowhere_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"names (no database|a port)"):
        database_url(f"postgresql://{rest}")
