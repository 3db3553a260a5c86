"""What can be known of an instance, and what makes its death unprovable."""

import os
from collections.abc import Callable
from pathlib import Path

from clworker.core.store.store import Store
from tests.support import databases
from tests.support.databases import Place
from tests.support.instances import Member

NAME = "worker-1"

Join = Callable[..., Member]
MakeUnprovable = Callable[[Member, Place], None]


def rivals(store: Store, member: Member) -> list[str]:
    """Register the member; return the instances that have its name already."""
    return [record.instance for record in store.instances.register(member.instance, member.file)]


def _another_boot(member: Member, place: Place) -> None:
    databases.execute(place, "UPDATE clworker_instances SET boot_id = 'another'")


def _file_gone(member: Member, place: Place) -> None:
    os.unlink(member.file.path)


def _another_file(member: Member, place: Place) -> None:
    # Renamed, not removed: the new file must not get the old one's inode.
    os.rename(member.file.path, f"{member.file.path}-old")
    Path(member.file.path).touch()


def _another_device(member: Member, place: Place) -> None:
    databases.execute(place, "UPDATE clworker_instances SET lock_device = lock_device + 1")


UNPROVABLE: list[MakeUnprovable] = [_another_boot, _file_gone, _another_file, _another_device]
