"""Hides what must never be printed: the passwords inside URLs."""

import re

# Each part is bounded: without that, a long word without spaces takes time in the square of its length.
_USERINFO = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.\-]{0,30}://[^\s:/?#@]{0,1024}):(?P<password>[^\s\"']{0,1024})@")
_QUERY = re.compile(r"(?P<head>[?&](?:password|passwd|pwd|sslpassword)=)[^&\s\"']*", re.IGNORECASE)


def masked(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced by ``***``.

    >>> masked("postgresql://cl:s3cret@db/media")
    'postgresql://cl:***@db/media'
    """
    return _QUERY.sub(r"\g<head>***", _USERINFO.sub(r"\g<head>:***@", text))
