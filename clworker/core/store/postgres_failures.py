"""PostgreSQL's failures in words: what is wrong, which database, what to do."""

import re
from typing import Any

from clworker.core.errors import ClworkerError, StoreUnavailable, UsageFault
from clworker.core.secrets import masked
from clworker.core.store.database import Conflict, RightMissing

_CONFLICTS = ("40001", "40P01")
_UNIQUE = "23505"
_DATA = ("22", "23")
"""Classes of failures that a value causes."""

_BY_STATE = {
    "25006": "is read-only: a replica, perhaps after a fail-over; name the primary server in DATABASE_URL",
    "26000": "a pooler in between loses prepared statements; let it keep them (PgBouncer: max_prepared_statements)",
    "42P05": "a pooler in between mixes up prepared statements; let it keep them (PgBouncer: max_prepared_statements)",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "the server has too many connections; raise its max_connections, or use fewer workers or a pooler",
    "55P03": "locked by another program for too long; see which one holds a transaction open (pg_stat_activity)",
    "57014": "a statement took too long and was cancelled; see what keeps the server busy (pg_stat_activity)",
    "25P03": "this program was held up in the middle of a transaction, and the server has cut the connection",
}

_BY_WORDS = {
    "password authentication failed": "correct the user or the password in DATABASE_URL",
    "no password supplied": "put the password into DATABASE_URL, or into a file .pgpass",
    "no pg_hba.conf entry": "let this user in from this host, in the server's pg_hba.conf",
    'role "': "correct the user in DATABASE_URL, or create it (CREATE ROLE)",
    'database "': "correct the name in DATABASE_URL, or create it (CREATE DATABASE)",
    "read-write mode during recovery": _BY_STATE["25006"],
    "too many clients": _BY_STATE["53300"],
    "connection slots are reserved": _BY_STATE["53300"],
    "too many connections": _BY_STATE["53300"],
    "starting up": "try again in a moment",
    "in recovery mode": "try again in a moment",
    "Connection refused": "see whether the server runs and listens there",
    "No such file or directory": "see whether the server runs and listens there",
    "timeout expired": "see whether the server runs and can be reached from here",
    "resolve host": "correct the host in DATABASE_URL",
    "translate host name": "correct the host in DATABASE_URL",
}


def in_words(failure: Any, label: str) -> ClworkerError:
    """Return our failure for one of the driver's."""
    state: str = getattr(failure, "sqlstate", None) or ""
    reason = _reason(str(failure))
    if state in _CONFLICTS:
        return Conflict(f"database {label}: {reason}; try again")
    if state == _UNIQUE:
        return UsageFault(f"database {label} refuses the row: {reason}")
    if state[:2] in _DATA or type(failure).__name__ == "DataError":
        return UsageFault(f"a value cannot be kept in the database: {reason}")
    if "invalid connection option" in reason or "invalid URI" in reason:
        return UsageFault(f"database {label}: {reason}; correct DATABASE_URL")
    if state == "42501":
        return RightMissing(f"database {label}: {reason}; {_grant(reason)}")
    if state in _BY_STATE:
        return StoreUnavailable(f"database {label}: {_BY_STATE[state]}")
    advice = next((advice for words, advice in _BY_WORDS.items() if words in reason), None)
    return StoreUnavailable(f"database {label}: {reason}" + (f"; {advice}" if advice else ""))


def _grant(reason: str) -> str:
    """Say which right is missing, by what the server names."""
    if found := re.search(r'permission denied for schema "?([^"]+)"?$', reason):
        schema = found[1]
        return (
            f"let its owner run GRANT USAGE, CREATE ON SCHEMA {schema} TO this user; once clworker's tables are there "
            "(start a worker as their owner), USAGE is enough"
        )
    rights = {"table": "SELECT, INSERT, UPDATE, DELETE ON", "sequence": "USAGE ON SEQUENCE"}
    if found := re.search(r'permission denied for (table|sequence) "?([^"]+)"?$', reason):
        return f"let its owner run GRANT {rights[found[1]]} {found[2]} TO this user, and so for all of clworker's"
    return "grant this user the right, or use the role that owns the tables"


def _reason(text: str) -> str:
    """Return the one line of the driver's message that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["the connection is lost"]
    told = next((line for line in lines if "FATAL:" in line), None)
    if told is None and lines[0].startswith("Multiple connection attempts failed") and len(lines) > 1:
        told = lines[-1]
    told = (told or lines[0]).rpartition("FATAL:")[2].strip()
    told = told.removeprefix("connection failed: ").removeprefix("connection is bad: ").removeprefix("- ")
    return masked(told)
