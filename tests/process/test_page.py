"""The live page in a real Chromium, over a real worker: what it shows, to whom, and what it must never do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.test_http import Site
from tests.support import databases
from tests.support.bench import Bench
from tests.support.broker import Broker
from tests.support.browser import Browser, browser
from tests.support.waiting import wait_until
from tests.support.worker import StartWorker

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202egpj\x1b[2J"

_FOCUSED = """
const node = document.activeElement;
const style = getComputedStyle(node);
return [node.textContent.trim(), node.tagName === "BODY" || style.outlineStyle !== "none"];
"""
_CONTRASTS = """
const numbers = color => color.match(/[0-9.]+/g).map(Number);
const light = color => {
  const [r, g, b] = numbers(color).slice(0, 3).map(c => {
    c /= 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = node => {
  for (; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (numbers(color)[3] !== 0) return color;
  }
  return "rgb(255, 255, 255)";
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
  const style = getComputedStyle(node);
  const [a, b] = [light(node instanceof SVGElement ? style.fill : style.color), light(ground(node))];
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent]);
}
return found;
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The one browser, which takes a second to start."""
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
def page(window: Browser) -> Browser:
    """A browser that lets pages run their scripts, until it is told otherwise."""
    window.allow_scripts(True)
    window.driver.get("about:blank")  # the page of another test goes on asking for a worker that is gone
    window.complaints()
    return window


def text(page: Browser, selector: str) -> str:
    return str(page.ask("return document.querySelector(arguments[0])?.innerText ?? ''", selector))


def wait_for_text(page: Browser, selector: str, words: str) -> None:
    wait_until(lambda: words in text(page, selector), f"{selector} shows {words!r}")


def fits(page: Browser) -> bool:
    return bool(page.ask("return document.documentElement.scrollWidth <= innerWidth"))


def test_the_page_from_a_running_job_to_a_worker_that_is_gone(
    bench: Bench, start_worker: StartWorker, broker: Broker, page: Browser, tmp_path: Path
) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    bench.task(
        "steady",
        f"""
        for percent in (20, 70):
            progress_callback(percent)
            while not os.path.exists(f"{steps}/{{percent}}"):
                time.sleep(0.01)
        return {{"status": "ok", "task_output": {{}}}}
        """,
    )
    failed: dict[str, Any] = {"status": "error", "completed_at": 1_700_000_000_000, "priority": 9}
    bench.queue(HOSTILE, job_id=HOSTILE, error_message=HOSTILE, **failed)
    bench.queue("long", job_id="x" * 300, error_message="y" * 1_000_000, **failed)
    bench.queue("unknown " * 30)
    bench.queue("steady")
    worker = start_worker("-w", "worker-1", "--http", "0", **broker.environ)
    site = Site(worker)
    page.resize(1100)
    page.prefer(prefers_color_scheme="light")
    page.driver.get(site.url)

    # It lives.
    wait_for_text(page, "#status", "Takes jobs: ")
    wait_for_text(page, "#slots", "20 %")
    assert page.ask("return document.querySelector('#slots progress').value") == 20
    wait_for_text(page, "#figures", "connected")
    (steps / "20").touch()
    wait_for_text(page, "#slots", "70 %")
    (steps / "70").touch()
    wait_for_text(page, "#slots", "idle")
    wait_until(
        lambda: page.ask("return document.querySelectorAll('.chart rect').length") >= 2, "both charts have a bar"
    )
    wait_for_text(page, "#throughput-summary", "1 at most")

    # What others wrote is text, and cut.
    shown = text(page, "#failures")
    assert "<script>alert(1)</script>" in shown and "\\u202egpj\\x1b[2J" in shown
    assert "y" * 400 in shown and len(shown) < 3000
    assert page.ask("return [document.images.length, document.scripts.length]") == [0, 1]

    # It fits a telephone, and can be read in the light and in the dark.
    for scheme, ground in (("light", "rgb(245, 246, 248)"), ("dark", "rgb(17, 21, 28)")):
        page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        assert page.ask("return getComputedStyle(document.body).backgroundColor") == ground
        contrasts = page.ask(_CONTRASTS)
        assert len(contrasts) > 40
        assert min(contrasts)[0] >= 4.5, min(contrasts)
        page.resize(360, 800)
        assert fits(page)
        page.resize(1100)
        assert fits(page)
    page.screenshot(tmp_path / "page.png")

    # By keyboard alone, and by ear.
    page.ask("document.body.focus()")
    order = []
    for _ in range(5):
        page.press_tab()
        order.append(page.ask(_FOCUSED))
    assert order == [[name, True] for name in ("Pause", "metrics", "state", "alive", "ready")]
    told = page.accessible()
    named = {(role, name) for role, name in told if name}
    assert {("heading", "worker-1"), ("button", "Pause"), ("heading", "Throughput")} <= named
    tables = ("Slots of this worker", "Queue of all workers", "Recent failures")
    assert {("table", name) for name in tables} <= named
    assert {("columnheader", "Waiting"), ("columnheader", "Message"), ("rowheader", "0")} <= named
    images = [name for role, name in told if role == "image"]
    assert [name.split(" ")[0] for name in images] == ["Throughput", "Waiting"]
    assert [role for role, _ in told].count("main") == [role for role, _ in told].count("status") == 1
    assert not [role for role, name in told if role in ("button", "link", "image", "table", "region") and not name]

    # Paused, it keeps still; then it goes on.
    page.ask("document.querySelector('#pause').click()")
    assert ("button", "Pause") in page.accessible()
    job = bench.queue("steady")
    worker.wait_for_jobs(job)
    assert "1 at most" in text(page, "#throughput-summary")
    page.ask("document.querySelector('#pause').click()")
    wait_until(lambda: "2\ncompleted" in text(page, "#figures"), "the second job is counted")

    # Nothing was refused by the policy, and nothing failed.
    assert page.complaints() == []
    worker.stop()
    wait_for_text(page, "#status", "does not answer")


def test_without_scripts_the_page_has_the_state_as_the_server_wrote_it(
    bench: Bench, start_worker: StartWorker, page: Browser
) -> None:
    databases.insert(bench.database, [{"task_type": HOSTILE, "status": "error", "error_message": HOSTILE}])
    site = Site(start_worker("--http", "0"))
    site.wait_for("readyz", (200, "ready\n"))
    page.allow_scripts(False)
    page.resize(360, 800)
    page.driver.get(site.url)
    shown = page.driver.find_element("tag name", "body").text
    assert "Takes jobs." in shown and "idle" in shown and "<script>alert(1)</script>" in shown
    assert "Pause" not in shown
    assert page.complaints() == []
