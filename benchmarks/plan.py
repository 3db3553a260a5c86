"""How much is measured: the whole, in about twenty minutes, or a quick look, in about four."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes and durations, in seconds, of every section."""

    repeats: int
    budget: float
    """A section's rounds are not repeated beyond so many seconds."""
    jobs: int
    """No-op jobs that are queued for each round."""
    seconds: float
    """A round ends after so long, however many of its jobs are left."""
    slots: tuple[int, ...]
    finished_rows: tuple[int, ...]
    foreign_rows: tuple[int, ...]
    photos: tuple[tuple[str, tuple[int, int], int], ...]
    """A name, width and height in pixels, and how often the photo is resized: an even number."""
    pictures: int
    """Photos that are resized in each round of workers on a server."""
    latencies: int
    idle_seconds: float
    memory_slots: tuple[int, ...]
    commands: int
    """How often each command is started."""
    workers: tuple[int, ...]
    load_seconds: float
    """How long each load is put on a server."""
    claimers: tuple[int, ...]
    registered: tuple[int, ...]
    """Workers in the register that others look after."""
    listeners: tuple[int, ...]
    idle_workers: tuple[int, ...]


FULL = Plan(
    repeats=3,
    budget=180.0,
    jobs=5_000,
    seconds=2.0,
    slots=(1, 2),
    finished_rows=(0, 100_000, 1_000_000),
    foreign_rows=(10_000, 100_000),
    photos=(("12 MP", (4000, 3000), 16), ("2 MP", (1632, 1224), 60)),
    pictures=60,
    latencies=100,
    idle_seconds=10.0,
    memory_slots=(1, 8),
    commands=7,
    workers=(1, 2, 4, 8),
    load_seconds=3.0,
    claimers=(1, 2, 4, 8, 16, 32, 64),
    registered=(10, 100, 300),
    listeners=(10, 100, 300),
    idle_workers=(20, 60),
)
QUICK = Plan(
    repeats=1,
    budget=30.0,
    jobs=2_000,
    seconds=1.0,
    slots=(1,),
    finished_rows=(0, 100_000),
    foreign_rows=(10_000,),
    photos=(("12 MP", (4000, 3000), 6), ("2 MP", (1632, 1224), 20)),
    pictures=20,
    latencies=20,
    idle_seconds=2.0,
    memory_slots=(1, 8),
    commands=2,
    workers=(1, 4),
    load_seconds=1.5,
    claimers=(1, 8, 32),
    registered=(10, 100),
    listeners=(10, 100),
    idle_workers=(20,),
)
