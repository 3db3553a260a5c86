"""Tells systemd how the service is (sd_notify(3)), where there is one that asks."""

import asyncio
import socket

MICROSECONDS = 1_000_000
MORE_TIME = 15.0
"""Seconds that a drain which goes on asks for at a time."""

_PATIENCE = 2.0
"""Seconds that a manager which is slow to read gets for each message."""


class ServiceManager:
    """The socket of ``Type=notify``; without one every call does nothing."""

    def __init__(self, address: str | None) -> None:
        """``address`` is the value of NOTIFY_SOCKET; a leading ``@`` means the abstract name space."""
        self._address = address.replace("@", "\0", 1) if address and address.startswith("@") else address

    async def ready(self) -> None:
        """The worker takes jobs from now on."""
        await self._tell("READY=1")

    async def stopping(self, timeout: float) -> None:
        """The worker drains, and may take so many seconds."""
        await self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((timeout + 5) * MICROSECONDS)}")

    async def ask_for_time(self) -> None:
        """Ask for more time to stop, again and again, for as long as jobs still end or are returned."""
        while True:
            await asyncio.sleep(MORE_TIME / 3)
            await self._tell(f"EXTEND_TIMEOUT_USEC={int(MORE_TIME * MICROSECONDS)}")

    async def feed_watchdog(self, interval: float) -> None:
        """Say twice in each ``interval`` seconds that the event loop turns, for ever."""
        while True:
            await self._tell("WATCHDOG=1")
            await asyncio.sleep(interval / 2)

    async def _tell(self, message: str) -> None:
        if not self._address:
            return
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await loop.sock_connect(sock, self._address)
                    await loop.sock_sendall(sock, message.encode())
            except TimeoutError:
                pass
            except OSError:
                self._address = None  # the manager has gone; never mind
