"""The link to a real Mosquitto: what it sends, what it keeps for later, and how it leaves."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from clworker.core.environment import load_broker_settings
from clworker.core.presence import link as link_module
from clworker.core.presence.link import MAX_WAITING, MqttLink
from clworker.core.presence.port import Presence
from tests.support.broker import NOT_AUTHORIZED, Broker, free_port, mute_server
from tests.support.waiting import wait_until
from tests.support.watcher import CAPABILITY_TOPIC, Watcher, standing

TOPIC = f"{CAPABILITY_TOPIC}w"


def present(
    may_connect: Callable[[], bool] = lambda: True, on_event: Callable[[bytes], None] = lambda payload: None
) -> Presence:
    return Presence("w", on_event, may_connect)


@contextmanager
def started(port: int, presence: Presence | None = None, client_id: str = "linked") -> Iterator[MqttLink]:
    """A link that connects to a port, closed at the end."""
    settings = load_broker_settings({}, {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(port)})
    with closing(MqttLink(settings, client_id, presence)) as link:
        link.start()
        yield link


@pytest.fixture
def link(broker: Broker) -> Iterator[MqttLink]:
    """A worker's link, connected."""
    with started(broker.port, present()) as made:
        connected(made)
        yield made


def connected(link: MqttLink) -> None:
    assert link.connected.wait(10)


def acknowledged(event: threading.Event) -> None:
    assert event.wait(10), "the broker has not confirmed"


def fill_up(link: MqttLink, broker: Broker) -> None:
    """Have the broker hang, with as many messages on the way to it as may be."""
    broker.pause()
    for number in range(MAX_WAITING):
        link.publish("fill", b"%d" % number)
    wait_until(lambda: not link._waiting, "all are on the way")


def test_messages_arrive_in_order_and_are_acknowledged(broker: Broker, link: MqttLink) -> None:
    with Watcher(broker.port, "events") as watcher:
        sent = [link.publish("events", b"%d" % number) for number in range(300)]
        for publication in sent:
            acknowledged(publication.acknowledged)
        watcher.wait_for(lambda it: len(it.seen) >= 300, "all arrive")
        assert [(message.payload, message.retain) for message in watcher.seen] == [
            (b"%d" % number, False) for number in range(300)
        ]
        assert link.unacknowledged() == 0


def test_the_tail_of_what_waited_for_a_broker_is_sent_once_it_is_there(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with started(broker.port, client_id="early") as link:
        assert link.tried.wait(10) and not link.connected.is_set()
        for number in range(3 * MAX_WAITING):
            link.publish("cl_server", b"%d" % number)
        assert link.unacknowledged() == MAX_WAITING
        broker.start()
        try:
            with Watcher(broker.port, "cl_server") as watcher:
                wait_until(lambda: link.unacknowledged() == 0, "all are sent")
                last = link.publish("cl_server", b"last")
                acknowledged(last.acknowledged)
                watcher.wait_for(lambda it: it.seen and it.seen[-1].payload == b"last", "the last arrives")
                numbers = [int(message.payload) for message in watcher.seen[:-1]]
                # The watcher may have come late; what it saw is the unbroken end.
                assert numbers == list(range(3 * MAX_WAITING - len(numbers), 3 * MAX_WAITING))
        finally:
            broker.stop()


def test_the_latest_state_is_repeated_after_each_connect(broker: Broker, link: MqttLink) -> None:
    acknowledged(link.retain(TOPIC, b"first").acknowledged)
    for latest in (b"second", b"third"):
        broker.kill()
        wait_until(lambda: not link.connected.is_set(), "the link has noticed")
        link.retain(TOPIC, b"outdated")
        publication = link.retain(TOPIC, latest)
        broker.start()
        acknowledged(publication.acknowledged)
        assert standing(broker.port) == {"w": latest}


def test_a_state_from_before_an_outage_never_overtakes_the_latest(broker: Broker, link: MqttLink) -> None:
    fill_up(link, broker)
    link.retain(TOPIC, b"outdated")
    broker.kill()
    wait_until(lambda: not link.connected.is_set(), "the link has noticed")
    link.retain(TOPIC, b"latest")
    broker.start()
    wait_until(lambda: link.connected.is_set() and link.unacknowledged() == 0, "all is sent")
    assert standing(broker.port) == {"w": b"latest"}


def test_a_state_is_not_crowded_out_by_events(broker: Broker, link: MqttLink) -> None:
    fill_up(link, broker)
    state = link.retain(TOPIC, b"latest")
    for number in range(MAX_WAITING + 1):
        link.publish("fill", b"%d" % number)
    assert link.unacknowledged() <= 2 * MAX_WAITING
    broker.resume()
    acknowledged(state.acknowledged)
    assert standing(broker.port) == {"w": b"latest"}


def test_states_that_a_hanging_broker_misses_do_not_pile_up(broker: Broker, link: MqttLink) -> None:
    acknowledged(link.retain(TOPIC, b"before").acknowledged)
    with Watcher(broker.port, TOPIC) as watcher:
        broker.pause()
        for number in range(500):
            last = link.retain(TOPIC, b"%d" % number)
        broker.resume()
        acknowledged(last.acknowledged)
        watcher.wait_for(lambda it: it.seen and it.seen[-1].payload == b"499", "the latest arrives")
        assert len(watcher.seen) <= 3


def test_the_will_stands_from_the_first_connect(broker: Broker) -> None:
    with Watcher(broker.port, TOPIC) as watcher, started(broker.port, present()) as link:
        acknowledged(link.retain(TOPIC, b"here").acknowledged)
        broker_side_end(link)
        watcher.wait_for(lambda it: [message.payload for message in it.seen] == [b"here", b"", b"here"], "Will, birth")


def broker_side_end(link: MqttLink) -> None:
    """Break the connection as a network does."""
    sock = link._client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RDWR)


def test_a_clean_end_sends_no_will(broker: Broker) -> None:
    with started(broker.port, present()) as link:
        acknowledged(link.retain(TOPIC, b"left behind").acknowledged)
    assert standing(broker.port) == {"w": b"left behind"}


def test_the_goodbye_comes_after_the_events_that_wait(broker: Broker, link: MqttLink) -> None:
    acknowledged(link.retain(TOPIC, b"here").acknowledged)
    with Watcher(broker.port, "cl_server", TOPIC) as watcher:
        broker.pause()
        for number in range(2 * MAX_WAITING):  # more than are let go at once
            link.publish("cl_server", b"%d" % number)
        goodbye = link.retain(TOPIC, b"")
        broker.resume()
        acknowledged(goodbye.acknowledged)
        watcher.wait_for(lambda it: it.on(TOPIC) and not it.on(TOPIC)[-1].payload, "the goodbye arrives")
        last = b"%d" % (2 * MAX_WAITING - 1)
        watcher.wait_for(lambda it: last in [message.payload for message in it.seen], "the last event arrives")
        assert [message.payload for message in watcher.seen[-2:]] == [last, b""]


def test_an_unconfirmed_clearing_is_left_to_the_will(broker: Broker) -> None:
    with Watcher(broker.port, TOPIC) as watcher, started(broker.port, present()) as link:
        acknowledged(link.retain(TOPIC, b"here").acknowledged)
        fill_up(link, broker)  # so the clearing is not even on its way
        link.retain(TOPIC, b"")
        link.close()
        broker.resume()
        watcher.wait_for(lambda it: it.seen and it.seen[-1].payload == b"", "cleared")
    assert standing(broker.port) == {}


def test_a_link_whose_name_belongs_to_another_stops_for_good(broker: Broker) -> None:
    ours = threading.Event()
    ours.set()
    with started(broker.port, present(may_connect=ours.is_set)) as old:
        connected(old)
        ours.clear()
        with started(broker.port, present()) as new:
            acknowledged(new.retain(TOPIC, b"new").acknowledged)
            wait_until(lambda: not old._thread.is_alive(), "the old one has stopped")
            assert not old.connected.is_set()
            assert new.connected.is_set()
            assert standing(broker.port) == {"w": b"new"}


def test_events_of_others_are_heard_after_each_connect(broker: Broker) -> None:
    heard: list[bytes] = []
    with started(broker.port, present(on_event=heard.append)) as link, Watcher(broker.port, "cl_server") as other:
        connected(link)
        other.publish("cl_server", b"one")
        wait_until(lambda: heard == [b"one"], "heard")
        broker_side_end(link)
        wait_until(lambda: not link.connected.is_set(), "the link has noticed")
        connected(link)
        acknowledged(link.publish("elsewhere", b"").acknowledged)  # by now the subscription counts again
        other.publish("cl_server", b"two")
        wait_until(lambda: heard == [b"one", b"two"], "heard again")


def test_a_listener_that_raises_costs_a_warning_and_no_connection_for_good(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(payload: bytes) -> None:
        raise RuntimeError(payload.decode())

    with started(broker.port, present(on_event=fail)) as link, Watcher(broker.port, "cl_server") as other:
        connected(link)
        other.publish("cl_server", b"no listener for this")
        wait_until(lambda: not link.connected.is_set(), "the link has noticed")
        acknowledged(link.publish("elsewhere", b"").acknowledged)
    warning = caplog.records[0]
    assert "no listener for this" in str(vars(warning)["reason"])


@pytest.mark.parametrize(
    ("answer", "hangs_up", "reason"),
    [
        (b"", False, "it accepts connections but does not answer"),
        (b"", True, "it closed the connection without an answer"),
        (NOT_AUTHORIZED, False, "it refuses the connection: Not authorized"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "it closed the connection without an answer"),
    ],
    ids=["mute", "hanging-up", "refusing", "another-protocol"],
)
def test_one_warning_says_what_is_wrong_with_a_broker(
    answer: bytes, hangs_up: bool, reason: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []
    monkeypatch.setattr(link_module, "CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr(link_module, "_PAUSE", 0.05)
    presence = present(may_connect=lambda: tries.append(None) or True)  # type: ignore[func-returns-value]
    with mute_server(answer, hangs_up) as server, started(server.port, presence) as link:
        wait_until(lambda: len(tries) >= 4, "four tries")
        assert not link.connected.is_set()
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert vars(warning)["reason"].startswith(reason)
    assert vars(warning)["broker"] == f"127.0.0.1:{server.port}"


def test_closing_is_quick_and_safe_before_the_start_and_twice() -> None:
    settings = load_broker_settings({}, {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(free_port())})
    link = MqttLink(settings, "unstarted")
    link.close()
    link.close()
    link.publish("late", b"message")  # dropped, and no error
