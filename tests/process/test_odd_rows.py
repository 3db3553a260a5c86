"""Rows of other programs that no schema foresees: each job ends with a message, and none stops the worker."""

from pathlib import Path

import pytest

from tests.support import databases
from tests.support.in_process import InProcess


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('{"width": NaN', "params are not a JSON object: '{\"width\": NaN'"),
        (
            '{"input_paths": ["/photos/caf\\udce9.jpg"], "output_paths": ["/photos/x.jpg"], "width": 5, "height": 5}',
            r"input is outside the folders that jobs may read: /photos/caf\udce9.jpg (see --allow-dir)",
        ),
    ],
    ids=["half an object", "a name that is not UTF-8"],
)
def test_an_odd_job_ends_in_error_at_once(command: InProcess, database: Path, params: str, message: str) -> None:
    databases.create(database, "current")
    databases.insert(database, [{"params": params}])
    once = command.run("once", "-f", "json")
    assert (once.code, once.json["status"], once.json["error_message"]) == (1, "error", message)
    row = databases.rows(database, "SELECT retry_count FROM jobs")
    assert row == [{"retry_count": 0}]
