"""Hides what must never be printed: the passwords inside URLs."""

import re

# Begins at "://", not at the scheme: that would be looked for at every letter of a long text.
_USERINFO = re.compile(r"(?P<head>://[^\s:/?#]*):(?P<password>[^\s\"']*)@")
_WHOLE_USERINFO = re.compile(r"(?P<head>^(?:[^:]*:/+)?[^:]*):.*@", re.DOTALL)
_PARAMETER = r"(?P<head>(?:^|[?&;\s])(?:password|passwd|pwd|sslpassword)\s*=\s*)"
_QUERY = re.compile(_PARAMETER + r"(?:'[^']*'|\"[^\"]*\"|[^&;\s\"']*)", re.IGNORECASE)
_WHOLE_QUERY = re.compile(_PARAMETER + ".*", re.IGNORECASE | re.DOTALL)


def masked_whole(text: str) -> str:
    """Return ``text``, which is one value that may be a URL, however badly written, without a password.

    It ends where the text ends, so that here spaces, quotes and a mistyped ``://`` give nothing away.

    >>> masked_whole("cl:it's s3cret@db/media")
    'cl:***@db/media'
    """
    return _WHOLE_QUERY.sub(r"\g<head>***", _WHOLE_USERINFO.sub(r"\g<head>:***@", text))


def masked(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced by ``***``.

    >>> masked("postgresql://cl:s3cret@db/media")
    'postgresql://cl:***@db/media'
    """
    if "=" not in text and "://" not in text:  # as in nearly every text of the log
        return text
    return _QUERY.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>:***@", text))


def masked_url(url: str) -> str:
    """Return a URL that is well formed without its passwords; quotes in them, which end one in a text, do not here.

    >>> masked_url("postgresql://cl:it's@db/media")
    'postgresql://cl:***@db/media'
    """
    scheme, separator, rest = url.partition("://")
    server, slash, where = rest.partition("/")
    user_info, at, hosts = server.rpartition("@")
    user, _, password = user_info.partition(":")
    shown = f"{user}:***" if password else user_info
    return masked(f"{scheme}{separator}{shown}{at}{hosts}{slash}{where}")
