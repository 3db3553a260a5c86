"""A store, and instances that register there."""

from collections.abc import Iterator

import pytest

from clworker.core.store.identity import Role
from clworker.core.store.store import Store
from tests.conformance.instances.scene import NAME, Join
from tests.support import databases
from tests.support.databases import Place
from tests.support.instances import Member


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store over each kind of database, with the tables that clworker makes."""
    opened = databases.open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def join(store: Store) -> Iterator[Join]:
    """Makes instances; what of them still lives at the end dies."""
    members: list[Member] = []

    def make(role: Role = Role.RUN, name: str = NAME, registered: bool = True) -> Member:
        members.append(Member(store.database.home, role, name))
        if registered:
            assert store.instances.register(members[-1].instance, members[-1].file) == []
        return members[-1]

    yield make
    for member in members:
        member.die()
