"""The thread that serves: it answers while the worker's loop stands still, and says so."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from clworker.core.environment import load_settings
from clworker.core.web import health, pulse
from clworker.core.web.listener import listen, url_of
from clworker.core.web.service import WebService


def status(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_a_worker_whose_loop_stands_still_is_not_alive_until_it_turns_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONGEST_SILENCE", 0.2)
    monkeypatch.setattr(pulse, "BEAT", 0.02)
    settings = load_settings({"http": "0"}, {"CL_SERVER_DIR": str(tmp_path)})
    assert settings.http == ("127.0.0.1", 0)

    async def run() -> None:
        sock = listen(*settings.http or ("", 0))
        url = url_of(sock)
        with WebService(settings, sock):
            assert await asyncio.to_thread(status, f"{url}healthz") == (200, "alive\n")
            assert await asyncio.to_thread(status, f"{url}readyz") == (503, "not ready: the worker is starting\n")
            while True:  # asking in this very loop keeps it from turning
                code, words = status(f"{url}healthz")
                if code == 503:
                    break
            assert words.startswith("not alive: the supervisor has not answered")
            async with asyncio.timeout(10):
                while (await asyncio.to_thread(status, f"{url}healthz"))[0] != 200:
                    pass
        with pytest.raises(urllib.error.URLError):
            status(url)

    asyncio.run(run())
