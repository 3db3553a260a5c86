"""From the text of one setting to its value.

Each function raises ValueError with the rest of a sentence that starts with the offending
text: ``'abc' is not a number of seconds``.
"""

import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

WORKER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_SECONDS = 365 * 86_400.0
_MAX_MEBIBYTES = 1 << 24
_AGE = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhdw])")
_AGE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> float:
    """Parse a positive number of seconds, at most a year."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not math.isfinite(value) or not 0.001 <= value <= _MAX_SECONDS:
        raise ValueError("is not between 0.001 seconds and a year")
    return value


def mebibytes(text: str) -> int:
    """Parse a size of memory in MiB."""
    value = _whole_number(text, "a whole number of MiB")
    if not 1 <= value <= _MAX_MEBIBYTES:
        raise ValueError(f"is not between 1 and {_MAX_MEBIBYTES} MiB")
    return value


def port(text: str) -> int:
    """Parse a TCP port."""
    value = _whole_number(text, "a port number")
    if not 1 <= value <= 65_535:
        raise ValueError("is not a port between 1 and 65535")
    return value


def microseconds(text: str) -> float:
    """Parse a whole number of microseconds, as systemd gives it, into seconds."""
    return seconds(str(_whole_number(text, "a whole number of microseconds") / 1_000_000))


def count(text: str) -> int:
    """Parse a number of things, at least one."""
    value = _whole_number(text, "a whole number")
    if not 1 <= value <= 1_000_000:
        raise ValueError("is not between 1 and 1000000")
    return value


def switch(text: str) -> bool:
    """Parse a variable that switches something on or off."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("is none of 1, true, yes, on, 0, false, no, off")
    return words[text.lower()]


def age_ms(text: str) -> int:
    """Parse an age such as ``90s``, ``15m``, ``2h``, ``30d`` or ``1w`` into milliseconds."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError("is not an age such as 90s, 15m, 2h, 30d or 1w")
    return int(match["count"]) * _AGE_UNITS[match["unit"]] * 1000


def one_of(*words: str, upper: bool = False) -> Callable[[str], str]:
    """Return a parser that accepts these words only, ``upper`` in either case."""

    def parse(text: str) -> str:
        value = text.upper() if upper else text
        if value not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return value

    return parse


def folder(text: str) -> Path:
    """Parse a folder's path; a relative one is taken from the current folder, ``~`` is known."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise ValueError("is not a folder")
    except (FileNotFoundError, NotADirectoryError):
        pass  # it may yet be made
    except OSError as fault:
        raise ValueError(f"cannot be looked at: {fault.strerror}") from fault
    return path


def readable_file(text: str) -> Path:
    """Parse the path of a file that this user can read."""
    path = Path(os.path.abspath(os.path.expanduser(text)))
    try:
        with path.open("rb"):
            return path
    except (OSError, ValueError) as failure:
        raise ValueError(f"cannot be read: {getattr(failure, 'strerror', None) or failure}") from None


def secret_file(text: str) -> str:
    """Read a secret from a file: its first line."""
    lines = readable_file(text).read_text(errors="replace").splitlines()
    if not lines or not lines[0]:
        raise ValueError("holds no secret: its first line is empty")
    return lines[0]


def folders(text: str) -> tuple[Path, ...]:
    """Parse a list of folders, separated as in PATH. Each must exist."""
    paths = tuple(folder(part) for part in text.split(os.pathsep) if part)
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"names a folder that does not exist: {str(path)!r}")
    return paths


def names(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of task types; repeated ones count once."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in found:
        raise ValueError("has an empty name between its commas")
    return found


def worker_id(text: str) -> str:
    """Parse a worker's name, which is also the last level of its MQTT topic."""
    if not WORKER_ID.fullmatch(text):
        raise ValueError("is not 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def host(text: str) -> str:
    """Parse a host name or address, without a scheme or a port."""
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(re.fullmatch(r"[A-Za-z0-9_:%-]{1,63}", label) for label in labels):
        raise ValueError("is not a host name or address")
    return text


def listen_address(text: str) -> tuple[str, int]:
    """Parse ``ADDR:PORT`` to listen on; a port alone is one of this machine only, and port 0 any that is free."""
    address, _, number = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise ValueError("is no address with a port; write PORT, ADDR:PORT or [IPV6]:PORT")
    if address:
        host(address)
    value = _whole_number(number, "an address with a port; write PORT, ADDR:PORT or [IPV6]:PORT")
    if not 0 <= value <= 65_535:
        raise ValueError("names no port between 0 and 65535")
    return address or "127.0.0.1", value


def user_name(text: str) -> str:
    """Parse a user name at the broker."""
    if not text.isprintable():
        raise ValueError("holds a character that no user name can have")
    return text


def topic(text: str) -> str:
    """Parse an MQTT topic that can be published to."""
    if not _is_unicode(text):
        raise ValueError("is no MQTT topic: it is not valid UTF-8")
    if re.search(r"[#+\x00-\x1f\x7f-\x9f]", text):
        raise ValueError("is no MQTT topic: it must not contain '#', '+' or control characters")
    if text.startswith("/") or text.endswith("/") or len(text.encode()) > 1024:
        raise ValueError("is no MQTT topic: no '/' at either end, at most 1024 bytes")
    return text


def database_url(text: str) -> str:
    """Parse a SQLAlchemy URL of SQLite or PostgreSQL; ``+aiosqlite``, ``+asyncpg`` and the like are ours too."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise ValueError("is no database URL; write sqlite:////absolute/path/media_store.db or postgresql://…")
    match scheme.lower().partition("+")[0]:
        case "sqlite":
            return _sqlite_url(rest)
        case "postgresql" | "postgres":
            return _postgresql_url(rest)
    raise ValueError("is of no supported database; use a sqlite:/// or a postgresql:// URL")


def _sqlite_url(rest: str) -> str:
    url = f"sqlite://{rest}"
    path = sqlite_path(url)
    if not path or path == ":memory:":
        raise ValueError("names no file: a database in memory cannot be shared with other programs")
    if not rest.startswith("/") or "?" in rest:
        raise ValueError("is not understood; write sqlite:////absolute/path/media_store.db")
    if os.path.isdir(path):
        raise ValueError("names a folder, not a database file")
    return url


def _postgresql_url(rest: str) -> str:
    where, _, query = rest.partition("?")
    server, _, name = where.rpartition("/")
    elsewhere = re.search("(^|&)(service|dbname)=[^&]", query) is not None
    if (not server and "/" not in where) or not (name or elsewhere) or "/" in server:
        raise ValueError("names no database; write postgresql://user:password@host/database")
    if not rest.isprintable() or " " in rest or "#" in rest:
        raise ValueError("is not understood; in a password write special characters as %23, %2F, %40 and the like")
    for place in server.rpartition("@")[2].split(","):
        port = re.search(r":([^:\]]*)$", place)
        if port and port[1] and not (port[1].isdecimal() and 1 <= int(port[1]) <= 65_535):
            raise ValueError("names a port that is not between 1 and 65535")
    # asyncpg's word for what libpq, and so our driver, calls sslmode.
    query = re.sub(r"(?<![^&])ssl=", "sslmode=", query)
    return f"postgresql://{where}?{query}" if query else f"postgresql://{where}"


def is_file_database(url: str) -> bool:
    """Tell whether a database URL names a file of this machine rather than a server."""
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> str:
    """Return the file that a ``sqlite:///`` URL names."""
    return url.partition("://")[2].removeprefix("/")


def _is_unicode(text: str) -> bool:
    # Bytes of the environment that are no UTF-8 reach Python as lone surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_number(text: str, what: str) -> int:
    # int() itself would also take "1_000", " 5 " and digits of other scripts.
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(f"is not {what}")
    return int(text)
