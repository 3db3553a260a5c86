"""Tells systemd how the service is (sd_notify(3)), where there is one that asks."""

import asyncio
import socket

MICROSECONDS = 1_000_000


class ServiceManager:
    """The socket of ``Type=notify``; without one every call does nothing."""

    def __init__(self, address: str | None) -> None:
        """``address`` is the value of NOTIFY_SOCKET; a leading ``@`` means the abstract name space."""
        self._address = address.replace("@", "\0", 1) if address and address.startswith("@") else address

    def ready(self) -> None:
        """The worker takes jobs from now on."""
        self._tell("READY=1")

    def stopping(self, timeout: float) -> None:
        """The worker drains, and may take so many seconds."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((timeout + 5) * MICROSECONDS)}")

    async def feed_watchdog(self, interval: float) -> None:
        """Say twice in each ``interval`` seconds that the event loop turns, for ever."""
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(interval / 2)

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.connect(self._address)
                sock.send(message.encode())
            except BlockingIOError:
                pass  # the manager is slow to read; waiting for it would hold up everything else
            except OSError:
                self._address = None  # the manager has gone; never mind
