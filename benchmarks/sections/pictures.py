"""Pictures: photos resized to 800x600, against a bare loop of Pillow in as many processes."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks import loops
from benchmarks.context import Context
from benchmarks.deployment import Deployment
from benchmarks.processes import environment, running
from benchmarks.results import Result
from benchmarks.rounds import Samples, completions_per_second

NAME = "pictures"
LOOP = "Pillow loop"

_LONGEST = 15.0
_WARM_UP = 2
"""Like the number of photos, a multiple of every number of slots: so the same whole turns are clocked in all."""

Photo = tuple[str, Path, int]


def run(context: Context) -> list[Result]:
    """Measure the loop and the worker in turn, for each size of photo and number of processes."""
    folder = context.new_folder()
    folder.mkdir()
    photos = [(name, photo(folder / f"{size[0]}.jpg", size), count) for name, size, count in context.plan.photos]
    cases = {f"{photo[0]}, {slots} at a time": (photo, slots) for photo in photos for slots in context.plan.slots}
    rounds = {}
    for case, (photo, slots) in cases.items():
        rounds[f"{LOOP}, {case}"] = partial(_loop, context, photo, slots)
        rounds[f"clworker, {case}"] = partial(_worker, context, photo, slots)
    samples = context.take_turns(rounds)
    results = []
    for case in cases:
        loop = _result(LOOP, case, samples[f"{LOOP}, {case}"])
        results += [loop, _result("clworker", case, samples[f"clworker, {case}"]).with_ratios((LOOP, loop))]
    return results


def _result(subject: str, case: str, samples: Samples) -> Result:
    settings = "image_resize; output fsynced" if subject == "clworker" else "no fsync"
    return Result(NAME, subject, case, "pictures/s", samples.values, settings, samples.note)


def photo(path: Path, size: tuple[int, int]) -> Path:
    """Make a photo with the noise and the gradients of a real one."""
    sky = Image.linear_gradient("L").resize(size)
    sun = Image.radial_gradient("L").resize(size)
    grain = Image.effect_noise(size, 40)
    Image.merge("RGB", (sun, Image.blend(sky, grain, 0.3), sky)).save(path, quality=90)
    return path


def _loop(context: Context, photo: Photo, slots: int) -> float:
    _, source, count = photo
    folder = context.new_folder()
    folder.mkdir()
    commands: list[list[str | Path]] = [
        [sys.executable, loops.RESIZES, source, folder, str(number)] for number in range(slots)
    ]
    try:
        with running(commands, environment(), folder / "loop.log") as workers:
            return completions_per_second(lambda: _pictures(folder), count, _LONGEST, workers, _WARM_UP)
    finally:
        shutil.rmtree(folder)


def _pictures(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.name.endswith(".jpg") for entry in entries)


def _worker(context: Context, photo: Photo, slots: int) -> float:
    _, source, count = photo
    folder = context.new_folder()
    try:
        with Deployment(folder) as deployment:
            output = folder / "compute" / "bench"
            output.mkdir(parents=True)
            media = folder / "media" / source.name
            media.parent.mkdir(exist_ok=True)
            shutil.copy(source, media)
            deployment.begin_round()
            # One more for each slot: the loop does not stop either when the last one is counted.
            deployment.queue(
                ("image_resize", _params(media, output / f"{number}.jpg")) for number in range(count + slots)
            )
            with deployment.workers(slots=slots) as workers:
                return completions_per_second(deployment.completed, count, _LONGEST, workers, _WARM_UP)
    finally:
        shutil.rmtree(folder)


def _params(source: Path, target: Path) -> dict[str, object]:
    return {
        "input_paths": [str(source)],
        "output_paths": [str(target)],
        "width": 800,
        "height": 600,
        "maintain_aspect_ratio": False,
    }
