"""Hides what must never be printed: the passwords inside URLs."""

import re

# Begins at "://", not at the scheme: that would be looked for at every letter of a long text.
_USERINFO = re.compile(r"(?P<head>://[^\s:/?#@]*):(?P<password>[^\s\"']*)@")
_QUERY = re.compile(r"(?P<head>[?&](?:password|passwd|pwd|sslpassword)=)[^&\s\"']*", re.IGNORECASE)


def masked(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced by ``***``.

    >>> masked("postgresql://cl:s3cret@db/media")
    'postgresql://cl:***@db/media'
    """
    return _QUERY.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>:***@", text))
