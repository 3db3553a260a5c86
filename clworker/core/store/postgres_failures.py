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
_RAISED = "P0"
"""The class of what functions of the database raise by themselves."""

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

_CORRECT = "correct DATABASE_URL"
_AGAIN = "try again in a moment"
_LISTENS = "see whether the server runs and listens there"
_TLS = "put sslmode=require, or stricter, into DATABASE_URL"
_ADVICE = {
    "password authentication failed|SASL authentication failed": "correct the user or the password in DATABASE_URL",
    "no password supplied": "put the password into DATABASE_URL, or into a file .pgpass",
    "no pg_hba.conf entry .*(no encryption|SSL off)$": f"let this user in, in the server's pg_hba.conf; or {_TLS}",
    "no pg_hba.conf entry|pg_hba.conf rejects": "let this user in from this host, in the server's pg_hba.conf",
    'role ".*" does not exist|no such user': "correct the user in DATABASE_URL, or create it (CREATE ROLE)",
    'role ".*" is not permitted to log in': "give it that right (ALTER ROLE ... LOGIN), or name another user",
    'database ".*" does not exist|no such database': "correct the name in DATABASE_URL, or create it (CREATE DATABASE)",
    'permission denied for database "(?P<name>.*)"': "let its owner run GRANT CONNECT ON DATABASE {name} TO this user",
    'too many connections for (?P<what>role|database) "(?P<name>.*)"': (
        "raise its limit (ALTER {what} {name} CONNECTION LIMIT ...), or use fewer workers"
    ),
    "read-write mode during recovery|session is read-only|server is in hot standby": _BY_STATE["25006"],
    "too many clients|connection slots are reserved|too many connections": _BY_STATE["53300"],
    "no more connections allowed": "the pooler has too many clients; raise its max_client_conn, or use fewer workers",
    "query_wait_timeout": "the pooler has too few connections to the server for its clients; raise its pool_size",
    "unsupported startup parameter": "let the pooler pass over it (ignore_startup_parameters), or leave it out",
    "starting up|shutting down|in recovery mode|not (yet )?accepting connections": _AGAIN,
    "session is not read-only|not in hot standby": "leave target_session_attrs out, or let it be read-write",
    "Connection refused|No such file or directory": _LISTENS,
    "timeout expired|no answer within": "see whether the server runs and can be reached from here",
    "resolve host|translate host name": "correct the host in DATABASE_URL",
    "does not support SSL": "let the server offer TLS (ssl = on), or change sslmode in DATABASE_URL",
    "root certificate file|certificate verify failed": "name the file of its CA's certificate (sslrootcert=...)",
    "does not match host name": "connect under a name that its certificate bears, or let it have one with this name",
    "connection requires a valid client certificate": "name one and its key (sslcert=..., sslkey=...)",
    'definition of service ".*" not found|service file': "correct the service in DATABASE_URL, or its file",
    "unrecognized configuration parameter|invalid value for parameter": "correct the options in DATABASE_URL",
}
"""What to do, by what the server or libpq says: the first that is found counts."""

_MISTAKES = "invalid (connection option|URI|.* value)|bad value for|conflicting|could not match"
"""What libpq says of parameters that can never be right."""


def in_words(failure: Any, label: str) -> ClworkerError:
    """Return our failure for one of the driver's."""
    state: str = getattr(failure, "sqlstate", None) or ""
    reason = _reason(str(failure))
    if state in _CONFLICTS:
        return Conflict(f"database {label}: {reason}; try again")
    if state == _UNIQUE:
        return UsageFault(f"database {label} refuses the row: {reason}")
    if state.startswith(_RAISED):
        return UsageFault(f"a trigger of the database refuses the row: {reason}")
    if state[:2] in _DATA or type(failure).__name__ == "DataError":
        return UsageFault(f"a value cannot be kept in the database: {reason}")
    if not state and re.match(_MISTAKES, reason):
        return UsageFault(f"database {label}: {reason}; {_CORRECT}")
    if state == "42501":
        return RightMissing(f"database {label}: {reason}; {_grant(reason)}")
    if state in _BY_STATE:
        return StoreUnavailable(f"database {label}: {_BY_STATE[state]}")
    return StoreUnavailable(f"database {label}: {_advised(reason)}")


def _advised(reason: str) -> str:
    for words, advice in _ADVICE.items():
        if match := re.search(words, reason):
            whole = advice in _BY_STATE.values()
            return advice if whole else f"{reason}; {advice.format(**match.groupdict())}"
    return reason


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
