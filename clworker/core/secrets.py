"""Hides what must never be printed: the passwords inside URLs."""

import re

_USERINFO = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.\-]*://[^\s:/?#]*):(?P<password>[^\s\"']*)@")
_QUERY = re.compile(
    r"(?P<head>(?:^|[?&;\s])(?:password|passwd|pwd|sslpassword)\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^&;\s\"']*)",
    re.IGNORECASE,
)
_WHOLE_USERINFO = re.compile(r"(?P<head>^(?:[^:]*:/+)?[^:]*):.*@", re.DOTALL)
_WHOLE_QUERY = re.compile(
    r"(?P<head>(?:^|[?&;\s])(?:password|passwd|pwd|sslpassword)\s*=).*", re.IGNORECASE | re.DOTALL
)


def masked(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced by ``***``.

    >>> masked("postgresql://cl:s3cret@db/media")
    'postgresql://cl:***@db/media'
    """
    return _QUERY.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>:***@", text))


def masked_value(text: str) -> str:
    """Return the text of a setting without the password that it may hold, well-formed or not.

    A single value ends where the text ends, so that here spaces, quotes and a mistyped
    ``://`` do not give a password away.

    >>> masked_value("postgresql:/cl:my s3cret@db/media")
    'postgresql:/cl:***@db/media'
    """
    return _WHOLE_QUERY.sub(r"\g<head>***", _WHOLE_USERINFO.sub(r"\g<head>:***@", text))
