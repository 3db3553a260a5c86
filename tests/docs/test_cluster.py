"""The cluster of examples/cluster: compose file, broker and units, as far as they can be tried without a builder."""

import getpass
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.test_systemd import INSTALLED, analyze
from tests.support.broker import Broker, missing
from tests.support.containers import in_container
from tests.support.in_process import InProcess
from tests.support.postgres import Place
from tests.support.program import PROGRAM
from tests.support.waiting import wait_until
from tools.console import ROOT

FOLDER = ROOT / "examples" / "cluster"
UNIT = FOLDER / "clworker@.service"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Mosquitto with the configuration of the example, but for its port."""
    made = Broker(tmp_path)
    content = (FOLDER / "mosquitto.conf").read_text()
    assert "listener 1883\n" in content
    here = content.replace("listener 1883", f"listener {made.port} 127.0.0.1")
    (tmp_path / "mosquitto.conf").write_text(f"user {getpass.getuser()}\n{here}")
    yield made.start()
    made.stop()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the compose file."""
    content = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    used = {volume.partition(":")[0] for one in content["services"].values() for volume in one["volumes"]}
    assert {name for name in used if not name.startswith(".")} == set(content["volumes"])
    services: dict[str, Any] = content["services"]
    return services


def test_the_compose_file_names_files_settings_and_services_that_there_are(services: dict[str, Any]) -> None:
    worker = services["worker"]
    build = worker["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).is_file()
    settings = (ROOT / "README.md").read_text()
    assert [name for name in worker["environment"] if f"`{name}`" not in settings] == ["PGPASSWORD"]
    assert set(worker["depends_on"]) == {"postgres", "mosquitto"}
    asked = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=", (FOLDER / "example.env").read_text(), re.MULTILINE))
    server = services["postgres"]["environment"]
    user, database = server["POSTGRES_USER"], server["POSTGRES_DB"]
    assert worker["environment"]["DATABASE_URL"] == f"postgresql://{user}@postgres/{database}"
    compile(worker["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_a_worker_of_the_compose_file_runs_under_a_name_of_its_own(
    services: dict[str, Any], command: InProcess, server_place: Place, broker: Broker, picture: Path
) -> None:
    shell, option, script = services["worker"]["entrypoint"]
    script = script.replace("$$", "$").replace("--http 9464", "--http 0")  # containers have ports of their own
    program = command.program
    of_compose = {**services["worker"]["environment"], **broker.environ, "DATABASE_URL": server_place.url}
    program.environ.update(of_compose, PATH=f"{Path(PROGRAM).parent}:/usr/bin:/bin")
    container = in_container(program, "c0ffee")
    log = program.server_dir.parent / "log"
    submitted = command.ok("jobs", "submit", "image_resize", picture, "--width", "64", "--height", "48")
    with log.open("w") as output:
        words = [*container.prefix, shell, option, script]
        worker = subprocess.Popen(words, env=container.environment(), stderr=output, start_new_session=True)
    try:
        wait_until(lambda: "job completed" in log.read_text() or worker.poll() is not None, "the job is done", 60)
    finally:
        worker.kill()
        worker.wait()
    shown = command.ok("jobs", "show", submitted.stdout.strip(), "-f", "json").json
    assert (shown["status"], shown["attempts"][0]["worker_id"]) == ("completed", "worker-c0ffee"), log.read_text()
    assert "warning" not in log.read_text()


def test_systemd_has_no_word_against_the_unit_of_several_workers(tmp_path: Path, command: InProcess) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze")
    unit = tmp_path / "clworker@1.service"
    unit.write_text(UNIT.read_text().replace(INSTALLED, PROGRAM))
    assert analyze("verify", "--man=no", unit) == ""
    analyze("security", "--offline=true", "--threshold=25", unit)
    (line,) = re.findall(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)
    assert command.ok(*shlex.split(line.replace("%H-%i", "host-1")), "--help").stdout.startswith("Usage: clworker run")


def test_the_unit_differs_from_that_of_one_worker_only_in_what_a_cluster_needs() -> None:
    def settings(path: Path) -> set[str]:
        return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}

    one, many = settings(ROOT / "examples" / "systemd" / "clworker.service"), settings(UNIT)
    assert {line.partition("=")[0] for line in one ^ many} == {
        "Description", "After", "RequiresMountsFor", "EnvironmentFile", "LoadCredential", "Environment", "ExecStart",
    }  # fmt: skip
    names = re.findall(r"^(\w+)=", (FOLDER / "cluster.env").read_text(), re.MULTILINE)
    assert set(names) <= set(re.findall(r"`(\w+)`", (ROOT / "README.md").read_text()))
