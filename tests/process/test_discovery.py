"""Discovery of task plugins: a broken one is listed with its reason and harms nothing else (invariant 8)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import Bench
from tests.support.plugins import NOTE_GROUP, PluginFolder
from tests.support.processes import kill_all, wait_until_gone
from tests.support.program import Program, Result

GOOD = """
class Task:
    task_type = {task_type!r}
    def get_schema(self):
        from pydantic import BaseModel
        class Params(BaseModel):
            pass
        return Params
    async def execute(self, job, params, progress_callback=None):
        return {{"status": "ok", "task_output": {{"module": __name__}}}}
"""


def good(task_type: str) -> str:
    return GOOD.format(task_type=task_type)


def method(line: str) -> str:
    return good("fine").replace("return Params", line)


# What is wrong with a plugin, and a part of the reason that a person has to find.
BROKEN = {
    "import-error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax-error": ("def (", "SyntaxError"),
    "constructor": (good("x") + "    def __init__(self): raise OSError('no model file')", "OSError: no model file"),
    "no-such-class": ("Other = 1", "has no attribute 'Task'"),
    "not-a-class": ("Task = 3", "'int' object is not callable"),
    "no-task-type": (good("x").replace("task_type =", "other ="), "it has no task_type"),
    "no-schema": (good("x").replace("get_schema", "other"), "it has no get_schema"),
    "no-execute": (good("x").replace("execute", "other"), "it has no execute"),
    "execute-value": (good("x") + "    execute = 3", "its execute is not a method"),
    "type-number": (good("x").replace("'x'", "7"), "its task_type 7 is not a printable name"),
    "type-control": (good("a\x1b[31mb"), "is not a printable name"),
    "type-comma": (good("a,b"), "is not a printable name without commas"),
    "type-raises": (
        good("x").replace("task_type = 'x'", "task_type = property(lambda self: 1 / 0)"),
        "division by zero",
    ),
    "schema-none": (method("return None"), "get_schema() returned None"),
    "schema-dict": (method("return {'width': int}"), "which is no pydantic model"),
    "schema-lookalike": (method("return type('M', (), {'model_fields': {}, 'model_validate': dict})"), "no pydantic"),
    "schema-instance": (method("return type('M', (BaseModel,), {})()"), "which is no pydantic model"),
    "schema-raises": (method("raise KeyError('schema')"), "KeyError: 'schema'"),
    "sys-exit": ("import sys; sys.exit('no GPU')", "it called sys.exit(no GPU)"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "hard-exit": ("import os; os._exit(5)", "while it was imported, the process ended with exit code 5"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "while it was imported, the process was killed by SIGSEGV"),
    "hang": ("import time; time.sleep(600)", "it was still being imported after 2 s"),
}


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """``list-tasks`` over all of them at once, with a good plugin before, among and behind them."""
    folder = tmp_path_factory.mktemp("discovery")
    plugins = PluginFolder(folder / "plugins")
    for name, (source, _reason) in BROKEN.items():
        plugins.install(f"broken-{name}", source, {name: "Task"})
    plugins.install("zz-talkative", "print('printed on import')\n" + good("talkative"), {"talkative": "Task"})
    plugins.install("aa-first", good("first"), {"first": "Task"})
    program = Program(folder / "server", {"PYTHONPATH": str(plugins.path), "CLWORKER_PLUGIN_TIMEOUT": "5"})
    return program.ok("list-tasks", "-f", "json")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_is_listed_with_its_reason(listing: Result, name: str) -> None:
    (entry,) = (task for task in listing.json if task["entry_point"] == f"broken_{name.replace('-', '_')}:Task")
    assert (entry["task_type"], entry["state"]) == (name, "broken")
    assert (entry["distribution"], entry["version"]) == (f"broken-{name}", "1.0")
    assert BROKEN[name][1] in entry["reason"]
    assert "\n" not in entry["reason"]


def test_broken_plugins_harm_no_other(listing: Result) -> None:
    ready = {task["task_type"]: task for task in listing.json if task["state"] == "ready"}
    assert set(ready) == {"first", "talkative", "image_resize", "image_conversion"}
    assert ready["first"]["reason"] is None
    assert len(listing.json) == len(BROKEN) + len(ready)


def test_what_a_plugin_prints_is_a_log_line(listing: Result) -> None:
    assert "printed on import" in [line.get("line") for line in listing.log]


def test_broken_plugins_and_the_way_to_run_without_them(bench: Bench) -> None:
    bench.plugins.install("plugin-bad", "import os; os._exit(1)", {"bad": "Task"})
    bench.plugins.install("plugin-fine", good("fine"), {"fine": "Task"})
    job_id = bench.queue("fine")

    none_ready = bench.once("-t", "bad")
    assert (none_ready.code, none_ready.stdout) == (2, "")
    assert none_ready.errors == [
        "no task is ready to run; bad is broken: while it was imported, the process ended with exit code 1"
    ]
    unknown = bench.once("-t", "fine,fin")
    assert (unknown.code, unknown.errors) == (
        2,
        ["no installed plugin provides the task type 'fin'; did you mean 'fine'?"],
    )
    assert bench.job(job_id)["status"] == "queued"

    one_ready = bench.once("-t", "bad,fine")
    assert (one_ready.code, one_ready.json["output"]) == (0, {"module": "plugin_fine"})
    (warning,) = (line for line in one_ready.log if line["event"] == "task is broken")
    assert (warning["level"], warning["task_type"]) == ("warning", "bad")


def test_strict_and_one_task(program: Program, plugins: PluginFolder) -> None:
    assert program.run("list-tasks", "--strict").code == 0
    plugins.install("plugin-bad", "raise RuntimeError('no licence')", {"bad": "Task"})
    plugins.install_task("typed", "return {}", "Typed", TYPED)

    assert program.run("list-tasks", "--strict").code == 1
    typed = {row["name"]: row for row in program.ok("list-tasks", "typed", "-f", "json").json}
    assert typed["width"] == {
        "name": "width",
        "type": "integer",
        "required": True,
        "default": None,
        "range": ">= 1, <= 9",
        "choices": None,
        "unit": None,
        "meaning": "How wide",
    }
    assert (typed["mode"]["required"], typed["mode"]["default"]) == (False, "fast")
    broken = program.run("list-tasks", "bad")
    assert (broken.code, broken.stdout) == (2, "")
    assert broken.errors == ["the task 'bad' is installed but broken: RuntimeError: no licence"]


TYPED = """
class Typed(BaseModel):
    width: int = Field(ge=1, le=9, description="How wide")
    mode: str = "fast"
"""


def test_schema_that_cannot_be_described_says_why(program: Program, plugins: PluginFolder) -> None:
    header = """
    class Model: pass
    class Odd(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        model: Model = None
    """
    plugins.install_task("odd", "return {}", "Odd", header)
    for command in (["list-tasks", "odd"], ["jobs", "submit", "odd", "-p", "model=1"]):
        refused = program.run(*command)
        assert (refused.code, refused.stdout) == (2, "")
        assert refused.errors[0].startswith("the task's schema cannot be used: PydanticInvalidForJsonSchema")


def test_of_two_plugins_with_one_task_type_the_published_group_and_then_the_name_decides(
    program: Program, plugins: PluginFolder
) -> None:
    plugins.install("aaa", good("same"), {"same": "Task"}, group=NOTE_GROUP)
    plugins.install("zzz", good("same"), {"same": "Task"})
    plugins.install("mmm", good("same"), {"same": "Task"})
    listed = [task for task in program.ok("list-tasks", "-f", "json").json if task["task_type"] == "same"]
    reason = "mmm 1.0 provides this task type too and comes first"
    assert [(task["entry_point"], task["state"], task["reason"]) for task in listed] == [
        ("mmm:Task", "ready", None),
        ("aaa:Task", "shadowed", reason),
        ("zzz:Task", "shadowed", reason),
    ]


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "metadata": lambda info: (info / "METADATA").write_bytes(b"Name: \xff\xfe"),
    "no-metadata": lambda info: (info / "METADATA").unlink(),
    "empty-metadata": lambda info: (info / "METADATA").write_text(""),
}


def test_damaged_metadata_of_packages_hides_no_other_plugin(program: Program, plugins: PluginFolder) -> None:
    for damage, apply in DAMAGES.items():
        plugins.install(damage, good(damage), {damage: "Task"})
        apply(plugins.path / f"{damage.replace('-', '_')}-1.0.dist-info")
    plugins.install("whole", good("whole"), {"whole": "Task"})
    listed = program.ok("list-tasks", "-f", "json").json
    assert {*DAMAGES, "whole"} <= {task["task_type"] for task in listed if task["state"] == "ready"}


def test_a_damaged_list_of_entry_points_of_any_package_stops_nothing(program: Program, plugins: PluginFolder) -> None:
    info = plugins.path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(b"[console_scripts\n\xff = = =\n")
    ready = program.ok("list-tasks", "--strict", "-f", "json").json
    assert [task["task_type"] for task in ready] == ["image_conversion", "image_resize"]


def test_plugins_get_no_secrets(program: Program, plugins: PluginFolder, tmp_path: Path) -> None:
    plugins.install_task("spy", "return {}", header="print(sorted(os.environ))")
    url = f"sqlite:///{tmp_path}/media_store.db"
    result = program.ok("list-tasks", DATABASE_URL=url, CLWORKER_MQTT_PASSWORD="s3cret")
    assert "PYTHONPATH" in result.stderr
    assert "DATABASE_URL" not in result.stderr and "MQTT_PASSWORD" not in result.stderr


@pytest.mark.parametrize("ending", ["os._exit(3)", "time.sleep(600)", ""], ids=["crash", "hang", "returns"])
def test_what_a_plugin_starts_on_import_does_not_outlive_it(bench: Bench, ending: str) -> None:
    source = f"""
    import os, pathlib, subprocess, threading, time
    threading.Thread(target=time.sleep, args=(600,)).start()
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path({str(bench.marks / "new")!r}).write_text(str(child.pid))
    os.rename({str(bench.marks / "new")!r}, {str(bench.marks / "child")!r})
    {ending}
    """
    bench.plugins.install("plugin-parent", source + good("parent").replace("\n", "\n    "), {"parent": "Task"})
    with bench.program.start("list-tasks", "-f", "json", CLWORKER_PLUGIN_TIMEOUT="2") as listing:
        (child,) = bench.wait_for_mark("child")
        states = {task["task_type"]: task["state"] for task in listing.result().json}
    try:
        assert states["parent"] == ("broken" if ending else "ready")
        wait_until_gone([child])
    finally:
        kill_all([child])
