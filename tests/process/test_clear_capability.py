"""``clworker clear-capability``: what is removed at the broker, what is kept, and what is said of it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from clworker.core.printable import printable
from clworker.core.store.identity import Role
from clworker.core.store.store import Store
from tests.support.broker import ACCEPTED, Broker, environ_for, free_port, mute_server
from tests.support.in_process import InProcess
from tests.support.program import Program
from tests.support.watcher import CAPABILITY_TOPIC, Watcher, standing
from tests.support.workers import capability, registered, speaking

MALFORMED = b"\x1b[31m{not json\xff"


@pytest.fixture
def stand(broker: Broker) -> Any:
    """Return a function that has messages stand at the broker, by worker."""

    def put(**messages: Any) -> None:
        with Watcher(broker.port, "none") as watcher:
            for worker_id, message in messages.items():
                watcher.publish(CAPABILITY_TOPIC + worker_id, message, retain=True)

    return put


@pytest.fixture
def clear(seen_program: Program, command: InProcess) -> InProcess:
    """The command line, with the broker at hand."""
    return command


def actions(listing: list[dict[str, Any]]) -> dict[str, str]:
    return {line["worker_id"]: line["action"] for line in listing}


def test_a_silent_worker_is_cleared_and_told(clear: InProcess, broker: Broker, stand: Any) -> None:
    stand(silent=capability("silent"), other=capability("other"))
    result = clear.ok("clear-capability", "silent", "nobody", "othre", "silent", "-f", "json", CL_SERVER_DIR=None)
    told = json.dumps(capability("silent"))
    assert result.json == [
        {"worker_id": "nobody", "action": "nothing", "reason": "no message stands there", "payload": None},
        {
            "worker_id": "othre",
            "action": "nothing",
            "reason": "no message stands there; did you mean 'other'?",
            "payload": None,
        },
        {"worker_id": "silent", "action": "cleared", "reason": None, "payload": told},
    ]
    assert result.stderr == ""
    assert list(standing(broker.port)) == ["other"]


def test_a_broken_database_or_missing_data_folder_is_no_obstacle(
    clear: InProcess, broker: Broker, stand: Any, tmp_path: Path
) -> None:
    stand(one=capability("one"), two=capability("two"))
    clear.ok("clear-capability", "one", CL_SERVER_DIR=str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    clear.program.server_dir.mkdir()
    (clear.program.server_dir / "media_store.db").write_bytes(b"no database" * 1000)
    clear.ok("clear-capability", "two")
    assert standing(broker.port) == {}


def test_a_worker_that_holds_its_lock_is_kept_unless_forced(
    clear: InProcess, broker: Broker, stand: Any, store: Store
) -> None:
    stand(live=capability("live"))
    with registered(store, "live"):
        refused = clear.run("clear-capability", "live", "-f", "json")
        assert (refused.code, actions(refused.json)) == (1, {"live": "kept"})
        assert refused.json[0]["reason"] == "live: it holds its lock"
        assert list(standing(broker.port)) == ["live"]
        assert actions(clear.ok("clear-capability", "live", "--force", "-f", "json").json) == {"live": "cleared"}
        assert standing(broker.port) == {}


def test_a_worker_that_speaks_is_kept_unless_forced(clear: InProcess, broker: Broker) -> None:
    with Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher, speaking(watcher, "live"):
        watcher.wait_for_state("live", 1)
        refused = clear.run("clear-capability", "live", "-f", "json")
        assert (refused.code, actions(refused.json)) == (1, {"live": "kept"})
        assert refused.json[0]["reason"] == "live: it spoke while we listened"
        assert None not in watcher.idle_counts("live")
        clear.ok("clear-capability", "live", "--force")
        watcher.wait_for(lambda it: None in it.idle_counts("live"), "it is cleared, for a moment")


def test_a_name_without_a_worker_that_shows_itself_is_cleared(
    clear: InProcess, broker: Broker, stand: Any, store: Store
) -> None:
    stand(dead=capability("dead"), single=capability("single"))
    with registered(store, "dead"):
        pass
    with registered(store, "single", Role.ONCE):
        result = clear.ok("clear-capability", "dead", "single", "-f", "json")
    assert actions(result.json) == {"dead": "cleared", "single": "cleared"}
    assert standing(broker.port) == {}


def test_stale_clears_what_is_malformed_or_silent_and_keeps_what_lives(
    clear: InProcess, broker: Broker, stand: Any, store: Store
) -> None:
    stand(silent=capability("silent"), locked=capability("locked"), garbage=MALFORMED, alias=capability("other"))
    with (
        registered(store, "locked"),
        Watcher(broker.port, f"{CAPABILITY_TOPIC}#") as watcher,
        speaking(watcher, "speaks"),
    ):
        watcher.wait_for_state("speaks", 1)
        result = clear.ok("clear-capability", "--stale", "-f", "json", MQTT_HEARTBEAT_INTERVAL="0.3")
        assert actions(result.json) == {
            "alias": "cleared",
            "garbage": "cleared",
            "locked": "kept",
            "silent": "cleared",
            "speaks": "kept",
        }
        reasons = {line["worker_id"]: line["reason"] for line in result.json}
        assert reasons["garbage"] == "malformed: it is not JSON"
        assert reasons["alias"] == "malformed: it names another worker, 'other'"
        assert sorted(standing(broker.port)) == ["locked", "speaks"]


def test_stale_sees_every_one_of_many_messages(clear: InProcess, broker: Broker, stand: Any) -> None:
    stand(**{f"w{number}": b"?" for number in range(300)})
    result = clear.ok("clear-capability", "--stale", "-f", "csv")
    assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == 300
    assert standing(broker.port) == {}


def test_every_format_says_the_same_and_nothing_foreign_reaches_the_terminal(clear: InProcess, stand: Any) -> None:
    foreign = "?,\"'\x1b[2J\x9b2J\u202e" + "x" * 5000
    outputs = {}
    for output_format in ("table", "json", "jsonl", "csv"):
        stand(w=foreign.encode())
        outputs[output_format] = output = clear.ok("clear-capability", "w", "-f", output_format).stdout
        assert len(output) < 1000
        assert not {character for character in output if not character.isprintable()} - {"\n"}, output_format
    (told,) = json.loads(outputs["json"])
    assert (told["worker_id"], told["action"], told["reason"]) == ("w", "cleared", "malformed: it is not JSON")
    assert foreign.startswith(told["payload"]) and len(told["payload"]) > 200
    assert json.loads(outputs["jsonl"]) == told
    (row,) = csv.DictReader(io.StringIO(outputs["csv"], newline=""))
    assert row == {**told, "payload": printable(told["payload"])}
    heading, _, line, _ = outputs["table"].split("\n")
    assert heading.split() == ["WORKER", "ACTION", "REASON", "MESSAGE"]
    assert line.split()[:2] == ["w", "cleared"]


@pytest.mark.parametrize("args", [["+"], ["#"], ["a/b"], ["w", "w+"], [""], []])
def test_what_names_no_single_worker_is_a_usage_error(
    clear: InProcess, broker: Broker, stand: Any, args: list[str]
) -> None:
    result = clear.run("clear-capability", "--force", *args)
    assert (result.code, result.stdout, len(result.errors)) == (2, "", 1)
    assert "see 'clworker clear-capability --help'" in result.errors[0]


def test_without_a_broker_that_answers_the_exit_code_is_69(clear: InProcess) -> None:
    away = clear.run("clear-capability", "w", **environ_for(free_port()))
    assert (away.code, away.stdout, len(away.errors)) == (69, "", 1)
    assert away.errors[0].endswith("is out of reach: Connection refused")
    for answer, reason in ((b"", "it accepts connections but does not answer"), (ACCEPTED, "it stopped answering")):
        with mute_server(answer) as server:
            mute = clear.run("clear-capability", "w", **server.environ)
        assert (mute.code, mute.stdout, len(mute.errors)) == (69, "", 1)
        assert mute.errors[0].endswith(f"is out of reach: {reason}")
