"""Hosts that share no files: each runs the jobs whose inputs it has."""

from pathlib import Path
from typing import Any

from tests.hosts.conftest import Cluster
from tests.support.photos import photo


def test_a_job_waits_for_the_host_that_has_its_input(cluster: Cluster, tmp_path: Path) -> None:
    storages = {name: tmp_path / f"{name}-storage" for name in ("ann", "bob")}
    for storage in storages.values():
        storage.mkdir()
    ann, bob = (cluster.host(name, COMPUTE_STORAGE_DIR=str(storage)) for name, storage in storages.items())
    folder = storages["bob"] / "jobs" / "portrait"
    (folder / "input").mkdir(parents=True)
    photo(folder / "input/photo.jpg", (64, 64))
    params: dict[str, Any] = {
        "width": 32,
        "height": 32,
        "input_paths": [str(folder / "input/photo.jpg")],
        "output_paths": [str(folder / "output/photo.jpg")],
    }
    cluster.queue("image_resize", "portrait", params=params)
    without = cluster.worker(ann, "--skip-missing-inputs")
    (missed,) = without.wait_for("input not seen here; the job is left to another host", job_id="portrait")
    assert missed["input"] == params["input_paths"][0]
    explained = ann.program.run("jobs", "explain", "portrait", "-f", "json").json
    assert explained["reason"] == "input-missing"
    cluster.worker(bob, "--skip-missing-inputs")
    (row,) = cluster.done("portrait")
    assert row["retry_count"] == 0
    assert cluster.runs("portrait") == [("ann", "input-missing"), ("bob", "completed")]
    assert (folder / "output/photo.jpg").exists()
