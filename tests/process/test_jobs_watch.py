"""``jobs watch``: bars on a terminal, lines in a pipe, its end and its exit codes.

The worker is played by hand, straight in the database.
"""

import fcntl
import json
import signal
import struct
import subprocess
import termios
from pathlib import Path

from tests.support import databases
from tests.support.program import Program
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until


def set_job(database: Path, job_id: str, **columns: object) -> None:
    for name, value in columns.items():
        databases.execute(database, f"UPDATE jobs SET {name} = ? WHERE job_id = ?", value, job_id)


def next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_one_job_in_a_pipe_is_a_line_for_each_change_and_its_result(program: Program, made_database: Path) -> None:
    databases.insert(made_database, [{"job_id": "abc-1"}, {"job_id": "other"}])
    with program.start("jobs", "watch", "abc") as running:
        assert next_line(running.process) == "abc-1 image_resize queued 0%\n"
        set_job(made_database, "other", status="processing")
        set_job(made_database, "abc-1", started_at=1000, progress=40, status="processing")
        while (line := next_line(running.process)) != "abc-1 image_resize processing 40%\n":
            assert line.startswith("abc-1 image_resize queued")
        set_job(made_database, "abc-1", completed_at=3500, error_message="it broke", status="error")
        result = running.result()
    assert (result.code, result.stderr) == (1, "")
    assert result.stdout == "abc-1 image_resize error in 2.50 s: it broke\n"


def test_all_jobs_as_json_lines_until_ctrl_c(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "a"}, {"job_id": "b"}, {"job_id": "beyond"})
    with program.start("jobs", "watch", "-f", "jsonl", "--limit", "2") as running:
        seen = [json.loads(next_line(running.process)) for _ in range(2)]
        assert [(job["job_id"], job["status"]) for job in seen] == [("a", "queued"), ("b", "queued")]
        databases.execute(
            database, "UPDATE jobs SET status = 'completed', started_at = 1, completed_at = 2 WHERE job_id = 'a'"
        )
        seen = [json.loads(next_line(running.process)) for _ in range(2)]
        assert [(job["job_id"], job["status"]) for job in seen] == [("a", "completed"), ("beyond", "queued")]
        running.signal(signal.SIGINT)
        result = running.result()
    assert (result.code, result.stdout, result.stderr) == (130, "", "")


def test_a_job_that_has_ended_needs_no_waiting(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "a", "status": "completed", "started_at": 1, "completed_at": 1001})
    assert program.ok("jobs", "watch", "a").stdout == "a image_resize completed in 1.00 s\n"
    refused = program.run("jobs", "watch", "zz")
    assert (refused.code, refused.stdout) == (2, "") and "no job has the id 'zz'" in refused.errors[0]


def test_a_job_that_is_deleted_meanwhile_ends_it(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "a"})
    with program.start("jobs", "watch", "a") as running:
        next_line(running.process)
        databases.execute(database, "DELETE FROM jobs")
        result = running.result()
    assert (result.code, result.errors) == (2, ["job a was deleted while it was watched"])


def resize(terminal: Terminal, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_bars_on_a_terminal_of_any_size_and_encoding(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "é\x1b[31m-1", "started_at": 1, "status": "processing", "progress": 40})
    databases.insert(database, [{"job_id": f"waits-{n}"} for n in range(3)])
    with Terminal(program, "jobs", "watch", PYTHONIOENCODING="ascii", LC_ALL="C") as terminal:
        resize(terminal, 24, 100)
        terminal.wait_for("1 processing, 3 queued; Ctrl-C ends watching")
        assert f"[{'#' * 10}{'-' * 15}]  40%  processing" in terminal.text
        assert "\\xe9\\x1b[31m-1" in terminal.text and "\x1b[31m" not in terminal.text

        drawn = len(terminal.text)
        resize(terminal, 3, 40)
        wait_until(lambda: "\x1b[H\x1b[J" in terminal.text[drawn:], "all is drawn anew")
        terminal.wait_for("1 processing, 3 queued (3 not shown); Ct\r\n")

        databases.execute(database, "UPDATE jobs SET status = 'completed', completed_at = 2001 WHERE progress = 40")
        terminal.wait_for("completed in 2.00 s")
        terminal.wait_for("0 processing, 3 queued (2 not shown)")
        terminal.process.send_signal(signal.SIGINT)
        code, _ = terminal.end()
    assert code == 130
    assert "Traceback" not in terminal.text and "Error" not in terminal.text


def test_one_bar_gives_way_to_the_result(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "a", "status": "processing", "started_at": 1, "progress": 10})
    with Terminal(program, "jobs", "watch", "a") as terminal:
        terminal.wait_for(" 10%")
        set_job(database, "a", completed_at=1001, status="completed")
        code, _ = terminal.end()
    assert code == 0
    assert terminal.text.endswith("a image_resize completed in 1.00 s\r\n")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(program: Program, database: Path) -> None:
    databases.queue(database, {"job_id": "a"})
    with Terminal(program, "jobs", "watch", TERM="dumb") as terminal:
        terminal.wait_for("a image_resize queued 0%\r\n")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end()[0] == 130
    assert "\x1b" not in terminal.text
