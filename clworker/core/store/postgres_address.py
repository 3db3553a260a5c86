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
    asked = parse_qsl(query, keep_blank_values=True)
    parts = [
        {"user": unquote(user), "password": unquote(password), "dbname": unquote(name)},
        _places(hosts.split(",")),
        _places(",".join(value for parameter, value in asked if parameter == "host").split(",")),
        {parameter: value for parameter, value in asked if parameter != "host"},
    ]
    return {parameter: value for part in parts for parameter, value in part.items() if value}


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
