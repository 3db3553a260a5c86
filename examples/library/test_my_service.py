"""How a project tests its own dealings with the queue: a real worker, a real picture, no mock.

pip install clworker pytest
pytest test_my_service.py
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from clworker.core import JobClient, Settings, load_settings, run_once


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder for one test, and no broker; nothing comes from the real environment."""
    return load_settings({}, {"CL_SERVER_DIR": str(tmp_path / "server"), "BROADCAST_TYPE": "noop"})


@pytest.fixture
def client(settings: Settings) -> Iterator[JobClient]:
    with JobClient(settings) as opened:
        yield opened


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (640, 480), "teal").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_comes_out_in_the_size_that_was_asked_for(client: JobClient, settings: Settings, photo: Path) -> None:
    job = client.submit("image_resize", [photo], {"width": 64, "height": 48})
    done = run_once(settings)  # a whole worker: it claims one job, runs it in a child process and records the outcome
    assert done is not None and (done.job_id, done.status) == (job.job_id, "completed")
    with Image.open(done.params["output_paths"][0]) as small:
        assert small.size == (64, 48)
