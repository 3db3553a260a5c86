"""A data folder and its database as they are, to be put back again and again."""

import shutil
from dataclasses import replace
from pathlib import Path

import psycopg

from tests.crash.scene import database_of, use_server
from tests.support.postgres import Place


class Kept:
    """What a data folder held when this was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copy = folder.with_name("as it was")
        shutil.copytree(folder, self._copy)
        self._copies = 0
        self._place = database_of(folder)
        if isinstance(self._place, Place):
            self.put_back()  # what is kept stays as it is; copies are worked on

    def put_back(self) -> None:
        """Make the folder what it was, with a copy of what its database was."""
        shutil.rmtree(self._folder)
        shutil.copytree(self._copy, self._folder)
        if isinstance(self._place, Place):
            # A further one: to remove the last would have the server write all that it has to disk.
            self._copies += 1
            server, _, name = self._place.url.rpartition("/")
            copy = f"{name}_{self._copies}"
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {copy} TEMPLATE {name}".encode())
            use_server(self._folder, replace(self._place, url=f"{server}/{copy}"))
