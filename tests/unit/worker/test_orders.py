"""Orders that wait for a slot: each goes to one reader, in order, and none is lost or cut."""

import os
import socket

import pytest

from clworker.core.frames import BlockingChannel, Message, body_of, framed
from clworker.core.worker.orders import LARGEST, OrderInbox, OrderQueue


class Ends:
    """Both sides of a queue, and the channel beside it."""

    def __init__(self) -> None:
        self.queue = OrderQueue()
        self.ours, theirs = socket.socketpair()
        self.inbox = OrderInbox(socket.socket(fileno=os.dup(self.queue.read_end)), BlockingChannel(theirs))
        self._theirs = theirs

    def __enter__(self) -> "Ends":
        return self

    def __exit__(self, *_failure: object) -> None:
        self.queue.close()
        self.ours.close()
        self._theirs.close()
        self.inbox._socket.close()


def order(number: int, size: int = 0) -> Message:
    return {"number": number, "filling": "x" * size}


def test_orders_are_taken_in_their_order_and_the_rest_can_be_taken_back() -> None:
    with Ends() as ends:
        for number in range(5):
            assert ends.queue.put(body_of(order(number)))
        assert [ends.inbox.receive(), ends.inbox.receive()] == [order(0), order(1)]
        assert (len(ends.queue.take_back()), ends.queue.take_back()) == (3, [])
        assert ends.queue.put(body_of(order(5)))
        assert ends.inbox.receive() == order(5)


def test_a_queue_that_is_full_says_so_and_keeps_what_it_has() -> None:
    with Ends() as ends:
        filled = body_of(order(0, LARGEST - 30))
        count = 0
        while ends.queue.put(filled):
            count += 1
        assert 4 <= count < 10_000
        assert len(ends.queue.take_back()) == count


@pytest.mark.parametrize("size", [LARGEST, 5_000_000])
def test_a_large_order_comes_over_the_channel(size: int) -> None:
    with Ends() as ends:
        ends.queue.announce_large()
        sender = os.fork()
        if sender == 0:
            ends.ours.sendall(framed(body_of(order(7, size))))
            os._exit(0)
        assert ends.inbox.receive() == order(7, size)
        os.waitpid(sender, 0)


def test_the_inbox_ends_with_the_queue() -> None:
    with Ends() as ends:
        ends.queue.put(body_of(order(1)))
        ends.queue.close()
        assert ends.inbox.receive() == order(1)
        assert ends.inbox.receive() is None


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Message = {}
    for _ in range(100_000):
        deep = {"inner": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        body_of(deep)
