"""A real PgBouncer on a free loopback port, in a folder of its own, before one database server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.broker import accepts, free_port, missing
from tests.support.postgres import Server, unprivileged
from tests.support.waiting import wait_until


@contextmanager
def pooler(server: Server, **options: str) -> Iterator[int]:
    """Run it for the time of the block and yield its port; ``options`` are settings of it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("pgbouncer")
    port, user = free_port(), unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="clworker-pgbouncer-"))
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "default_pool_size": "20",
        "logfile": str(folder / "log"),
        **options,
    }
    lines = ["[databases]", f"* = host=127.0.0.1 port={server.port} user=postgres", "[pgbouncer]"]
    (folder / "ini").write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items()), ""]))
    if user is not None:
        os.chown(folder, user, -1)
    process = subprocess.Popen([str(program), "-q", folder / "ini"], user=user, cwd=folder)
    try:
        wait_until(lambda: accepts(port), "pgbouncer listens")
        yield port
    finally:
        process.terminate()  # at once, whoever is connected
        process.wait(20)
        shutil.rmtree(folder)
