"""Containers as far as they matter here: pid and host-name spaces of their own over shared folders."""

import os
import subprocess
from dataclasses import replace

from tests.support.broker import missing
from tests.support.program import Program

_AS_USER = () if os.geteuid() == 0 else ("--user", "--map-root-user")
_CONTAINER = ("unshare", *_AS_USER, "--pid", "--fork", "--mount-proc", "--uts", "--kill-child=KILL")


def in_container(program: Program, host: str) -> Program:
    """Return the program as a container of this host name runs it, where it is process 1.

    To kill the container's ``unshare`` is to kill all that runs in it.
    """
    prefix = (*_CONTAINER, "sh", "-c", f'hostname {host} && exec "$@"', "sh")
    try:
        works = subprocess.run([*prefix, "true"], capture_output=True, timeout=20).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        missing("unshare with the right to make containers")
    return replace(program, prefix=prefix)
