"""A task's parameters as options of ``jobs submit``, and the help that shows them."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import InProcess
from tests.support.plugins import PluginFolder

# `priority` and `no_flag` are taken by other options, `größe` can be none.
SCHEMA = """
from typing import Literal, Optional
class Params(BaseModel):
    size: int = Field(ge=1, le=9, description="How large.\\x1b[31m", json_schema_extra={"unit": "px"})
    max_ratio: float | None = None
    flag: bool = False
    maybe: bool | None = None
    no_flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    items: list[int] = Field(default_factory=list)
    text: str = ""
    priority: int = 1
    größe: int = 1
"""
HELP = [
    "Parameters of typed:",
    r"--size INTEGER How large.\x1b[31m. [required; in px; >= 1, <= 9]",
    "--max-ratio NUMBER [optional]",
    "--flag / --no-flag [default: false]",
    "--maybe / --no-maybe [optional]",
    "-p no_flag=BOOLEAN [default: false] (--no-flag is another option)",
    "--mode TEXT [default: fast; one of fast, slow]",
    "--items JSON [optional]",
    '--text TEXT [default: ""]',
    "-p priority=INTEGER [default: 1] (--priority is another option)",
    "-p größe=INTEGER [default: 1]",
]


@pytest.fixture
def typed(plugins: PluginFolder) -> PluginFolder:
    """A task with a parameter of each kind, which takes no files."""
    plugins.install_task("typed", "return {'status': 'ok', 'task_output': {}}", schema="Params", header=SCHEMA)
    return plugins


def params(command: InProcess, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = command.ok("jobs", "submit", "typed", *args, "-f", "json").json["params"]
    return found


def test_options_and_p_mean_the_same(command: InProcess, typed: PluginFolder) -> None:
    given = {"size": 3, "max_ratio": -0.5, "flag": True, "maybe": False, "mode": "slow", "items": [1, 2], "text": "--x"}
    numbers = ("--size", "3", "--max-ratio", "-0.5", "--flag", "--no-maybe")
    assert params(command, *numbers, "--mode=slow", "--items", "[1, 2]", "--text", "--x") == given
    texts = ("size=3", "max_ratio=-0.5", "flag=true", "maybe=false", "mode=slow", "items=[1, 2]", "text=--x")
    assert params(command, *[part for text in texts for part in ("-p", text)]) == given
    mixed = params(command, "--size", "3", "--priority", "8", "-p", "priority=2", "-p", "größe=4", "-p", "no_flag=true")
    assert mixed == {"size": 3, "priority": 2, "größe": 4, "no_flag": True}


def test_a_picture_is_resized_as_asked(command: InProcess, picture: Path) -> None:
    args = ("image_resize", "--width", "32", picture, "--height=20", "--no-maintain-aspect-ratio")
    job = command.ok("jobs", "submit", *args, "-f", "json").json
    assert {name: job["params"][name] for name in ("width", "height", "maintain_aspect_ratio")} == {
        "width": 32,
        "height": 20,
        "maintain_aspect_ratio": False,
    }
    assert [Path(path).name for path in job["params"]["input_paths"]] == ["photo.jpg"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("typed", "--siez", "3"), ["No such option '--siez'; did you mean '--size'?"]),
        (("typed", "--größe", "3"), ["No such option '--größe'"]),
        (("typed", "--size"), ["'--size' requires an argument"]),
        (("typed", "--flag=1"), ["'--flag' does not take a value"]),
        (("typed", "--size", "3", "--size", "4"), ["'size' is given twice"]),
        (("typed", "--size", "3", "-p", "size=4"), ["'size' is given twice"]),
        (("typed", "--flag"), ["size: Field required", "'clworker jobs submit typed --help'"]),
        (("typed", "--size", "30"), ["size", "got 30", "'clworker jobs submit typed --help'"]),
        (("typed", "--priority", "many"), ["'many'", "the task's own parameter is given with -p priority=VALUE"]),
        (("image_conversion", "x.png", "--format", "webp"), ["'webp'", "-p format=VALUE"]),
        (("--size", "3", "typed"), ["No such option '--size'", "the options of a task follow its name"]),
        (("tyqed", "--size", "3"), ["'tyqed'", "did you mean 'typed'?"]),
        (("broken", "--size", "3"), ["'broken' is installed but broken", "no licence"]),
        (("typed", "-p", "siez=3"), ["no parameter 'siez'", "did you mean 'size'?"]),
    ],
)
def test_what_is_refused_says_what_to_type(
    command: InProcess, typed: PluginFolder, args: tuple[str, ...], words: list[str]
) -> None:
    if args[0] == "broken":
        typed.install("plugin-broken", "raise RuntimeError('no licence')", {"broken": "Task"})
    (error,) = command.refused(2, "jobs", "submit", *args)
    for word in words:
        assert word in error


def test_what_follows_two_dashes_is_an_input(command: InProcess, tmp_path: Path, picture: Path) -> None:
    picture.rename(tmp_path / "--width")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        args = ("image_resize", "--width", "3", "-p", "height=2", "-f", "json", "--", "--width")
        job = command.ok("jobs", "submit", *args).json
    assert (job["params"]["width"], job["params"]["height"]) == (3, 2)
    assert job["params"]["input_paths"][0].endswith("/input/--width")


def test_help_about_a_task_shows_its_parameters(command: InProcess, typed: PluginFolder) -> None:
    for args in (["typed", "--help"], ["-h", "typed"], ["typed", "photo.jpg", "--size", "3", "--help"]):
        # Neither the data folder nor the database is needed.
        shown = command.ok("jobs", "submit", *args, CL_SERVER_DIR=None).stdout
        section, options = shown[shown.index("Parameters of typed:") :].split("\n\n")[:2]
        assert " ".join(section.split()) == " ".join(HELP)
        assert options.startswith("Options:\n") and "--output-dir" in options
    assert "Parameters of" not in command.ok("jobs", "submit", "--help").stdout


def test_a_task_without_parameters(command: InProcess, plugins: PluginFolder) -> None:
    plugins.install_plain("plain", "return {}")
    assert "Parameters of plain:\n  none" in command.ok("jobs", "submit", "plain", "--help").stdout


def test_list_tasks_tells_choices_and_units(command: InProcess, typed: PluginFolder) -> None:
    found = {row["name"]: row for row in command.ok("list-tasks", "typed", "-f", "json").json}
    assert (found["size"]["unit"], found["size"]["choices"], found["size"]["range"]) == ("px", None, ">= 1, <= 9")
    assert (found["mode"]["choices"], found["text"]["choices"]) == (["fast", "slow"], None)
