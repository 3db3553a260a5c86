"""Hosts that are cut off from the database, from the broker or from both, and all of it healing by itself."""

import time

from tests.hosts.conftest import BEAT, Cluster
from tests.support.plugins import wait_at_gate
from tests.support.waiting import wait_until


def test_one_without_the_broker_rescues_the_job_of_one_without_the_database(cluster: Cluster) -> None:
    ann, bob = cluster.host("ann"), cluster.host("bob")
    without_database = cluster.worker(ann)
    cluster.queue("gated", "held")
    wait_at_gate(cluster.gate)
    without_broker = cluster.worker(bob)
    cluster.idle("ann", 0)
    cluster.idle("bob", 1)
    ann.database.cut()
    bob.broker.cut()
    cut_at = time.monotonic()
    wait_until(lambda: cluster.runs("held") == [("ann", "rescued"), ("bob", None)], "bob has taken the job")
    assert time.monotonic() - cut_at > 2 * BEAT
    cluster.gate.touch()
    (done,) = cluster.done("held")
    assert done["retry_count"] == 1
    cluster.queue("brief", "meanwhile")
    cluster.done("meanwhile")

    # Ann's run has ended, too. She cannot say so, but she says that she takes nothing.
    without_database.wait_for("database out of reach; trying again until it is back")
    cluster.idle("ann", 0)
    wait_until(lambda: cluster.capability("bob") is None, "the Will has cleared bob's message")
    ann.database.mend()
    cluster.idle("ann", 1)
    bob.broker.mend()
    cluster.idle("bob", 1)
    assert cluster.job("held") == done
    assert cluster.runs("held") == [("ann", "rescued"), ("bob", "completed")]
    assert without_broker.stop().code == 0
    cluster.queue("brief", "afterwards")
    cluster.done("afterwards")
    assert cluster.runs("afterwards") == [("ann", "completed")]
    assert without_database.stop().code == 0
    assert (cluster.capability("ann"), cluster.capability("bob")) == (None, None)


def test_what_was_cut_off_from_everything_heals_in_either_order_or_has_lost_its_name(cluster: Cluster) -> None:
    names = ("ann", "bob", "cy")
    hosts = {name: cluster.host(name) for name in names}
    workers = {name: cluster.worker(hosts[name]) for name in names}
    held = [f"held-{number}" for number in range(3)]
    cluster.queue("gated", *held)
    wait_at_gate(cluster.gate, 3)
    dan = cluster.host("dan")
    rescuer = cluster.worker(dan, "-c", "3")
    for host in hosts.values():
        host.cut()
    wait_until(lambda: all(len(cluster.runs(job)) == 2 for job in held), "dan has taken the jobs")
    cluster.gate.touch()
    rows = cluster.done(*held)
    wait_until(lambda: all(cluster.capability(name) is None for name in names), "their messages are cleared")
    successor = cluster.worker(dan, name="cy")

    hosts["ann"].database.mend()
    hosts["bob"].broker.mend()
    hosts["cy"].broker.mend()
    hosts["cy"].database.mend()
    assert workers["cy"].result().errors == ["another worker has taken over the name 'cy'"]
    wait_until(lambda: "ann" in cluster.registered(), "ann is known again")
    hosts["ann"].broker.mend()
    hosts["bob"].database.mend()
    for name in names:
        cluster.idle(name, 1)
    assert [cluster.job(job) for job in held] == rows
    assert rescuer.stop().code == 0
    cluster.queue("brief", *(f"afterwards-{number}" for number in range(9)))
    cluster.done(*(f"afterwards-{number}" for number in range(9)))
    assert [worker.stop().code for worker in (workers["ann"], workers["bob"], successor)] == [0, 0, 0]
    assert all(cluster.capability(name) is None for name in (*names, "dan"))
