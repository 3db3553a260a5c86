"""Who takes part in the comparison of job queues; one file for each."""

from collections.abc import Sequence

from benchmarks.contenders.bare import BareLoop
from benchmarks.contenders.celery import Celery
from benchmarks.contenders.clworker import Clworker
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.huey import Huey
from benchmarks.contenders.procrastinate import Procrastinate
from benchmarks.contenders.rq import Rq
from benchmarks.servers import Servers


def all_contenders(servers: Servers) -> Sequence[Contender]:
    """Return everybody, in the order of a round."""
    return [
        BareLoop(),
        Clworker(),
        Clworker(servers),
        Huey(),
        Celery(servers),
        Rq(servers),
        Procrastinate(servers),
    ]
