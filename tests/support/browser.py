"""A real Chromium without a screen, and what it complains about."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.broker import missing


class Browser:
    """One window. Nothing that it loads comes from another host, or it would fail."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def resize(self, width: int, height: int = 900) -> None:
        """Have a page of this size, as a telephone or a desk has it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """Have the user prefer something: ``prefers_color_scheme="dark"``."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})

    def allow_scripts(self, allowed: bool) -> None:
        """Switch the page's scripts on or off, from the next page on."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    def ask(self, script: str, *args: Any) -> Any:
        """Return what a script says of the page."""
        return self.driver.execute_script(script, *args)

    def press_tab(self) -> None:
        """Move the focus on, as a user without a mouse does."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()

    def complaints(self) -> list[str]:
        """Return what the console has had to say since the last call: errors, violations of the policy, warnings."""
        return [json.dumps(entry) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def accessible(self) -> list[tuple[str, str]]:
        """Return role and name of everything on the page, as a screen reader gets it."""
        tree = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree["nodes"]
            if not node.get("ignored")
        ]

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        height = self.ask("return document.documentElement.scrollHeight")
        self.resize(self.ask("return innerWidth"), height)
        self.driver.save_screenshot(str(path))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium for the time of the block, with a profile in ``folder``."""
    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver_program is None:
        missing("chromium with chromedriver")
        return
    options = Options()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium insists on as root
    driver = webdriver.Chrome(options, Service(driver_program))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
