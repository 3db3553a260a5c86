"""How to speak TLS, from the files that the settings name."""

import ssl
from pathlib import Path


def client_context(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Trust ``ca`` (None: the system's), and present ``cert`` if there is one.

    Raises ValueError for files that can never work, naming the variable.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError, ValueError) as failure:
        raise _unusable("CA", ca, failure) from failure
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password=_no_passphrase)
        except (ssl.SSLError, OSError, ValueError) as failure:
            raise _unusable("CERT", cert, failure) from failure
    return context


def _no_passphrase() -> str:
    raise ValueError("its key is protected by a passphrase")


def _unusable(what: str, path: Path | None, failure: Exception) -> ValueError:
    reason = getattr(failure, "reason", None) or str(failure)
    return ValueError(f"CLWORKER_MQTT_{what}: {str(path)!r} cannot be used for TLS: {reason}")
