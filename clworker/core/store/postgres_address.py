"""Where a PostgreSQL URL leads: its parts in libpq's words.

SQLAlchemy's and libpq's spellings of several hosts are both understood, one server of which
may stand in for another: ``//a:5432,b:5433/media``, ``?host=a,b&port=5432,5433`` and
``?host=a:5432&host=b:5433``.
"""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote


def parameters_of(url: str) -> dict[str, str]:
    """Return libpq's parameters for a ``postgresql://`` URL that ``parsing.database_url`` has passed."""
    where, _, query = url.partition("://")[2].partition("?")
    server, _, name = where.rpartition("/")
    user_info, _, hosts = server.rpartition("@")
    user, _, password = user_info.partition(":")
    given = {"user": unquote(user), "password": unquote(password), "dbname": unquote(name), **_places(hosts.split(","))}
    asked = parse_qsl(query, keep_blank_values=True)
    if named := [value for parameter, value in asked if parameter == "host"]:
        given |= _places(",".join(named).split(","))
    return {key: value for key, value in {**given, **_others(asked)}.items() if value}


def _others(asked: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what is no host; without ports where each host has its own already."""
    return {parameter: value for parameter, value in asked if parameter != "host"}


def _places(places: Iterable[str]) -> dict[str, str]:
    """Return the hosts and the ports of a list of places; none of the ports where no place has one."""
    hosts, ports = [], []
    for place in places:
        found = re.fullmatch(r"\[(?P<v6>.*)\](?::(?P<v6_port>\d*))?|(?P<host>[^:]*)(?::(?P<port>\d*))?", place)
        if found is None or place.startswith(("/", "@")):  # the folder of a socket, or an address of IPv6 as it is
            hosts.append(place)
            ports.append("")
        else:
            hosts.append(unquote(found["v6"] or found["host"] or ""))
            ports.append(found["v6_port"] or found["port"] or "")
    return {"host": ",".join(hosts) if any(hosts) else "", "port": ",".join(ports) if any(ports) else ""}
