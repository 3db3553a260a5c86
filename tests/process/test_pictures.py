"""Real pictures through the real engine: what comes out, and what is said where it cannot do it.

All jobs run in one worker, once for the whole file; each test looks at one of them.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.support import databases
from tests.support.photos import ORIENTATION, SHAPES, photo
from tests.support.program import Drained, Program

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF"}
IMPOSSIBLE = {
    "cmyk.jpg to png": "cannot write mode CMYK as PNG",
    "cmyk.jpg to gif": "image has wrong mode",
    "cmyk.jpg to bmp": "cannot write mode CMYK as BMP",
    "deep.png to jpg": "cannot write mode I;16 as JPEG",
    "deep.png to bmp": "cannot write mode I;16 as BMP",
}
"""What the engine cannot do, and how it says so."""

CONVERSIONS = [
    *(f"{name} to {target}" for name in SHAPES for target in ("jpg", "webp")),
    *(f"{name} to {target}" for name in ("cmyk.jpg", "deep.png") for target in ("png", "gif", "bmp", "tiff")),
    *(f"transparent.png to {target}" for target in ("png", "gif", "bmp", "tiff")),
]
MODES = {"cmyk.jpg": "CMYK", "grey.jpg": "L", "transparent.png": "RGBA", "palette.png": "P", "deep.png": "I;16"}
NOT_TO_COMPARE = {"animated.gif", "deep.png"}
"""Pictures that lose their looks when they become RGB for the comparison."""


@dataclass
class Album:
    """The pictures and what became of them."""

    server: Path
    drained: Drained

    def source(self, name: str) -> Path:
        return self.server / "media" / name

    def output(self, name: str) -> Path:
        return self.server / "compute/out" / name


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    server = tmp_path_factory.mktemp("server")
    media, out = server / "media", server / "compute/out"
    media.mkdir()
    for name, make in SHAPES.items():
        make(media / name)
    photo(media / "broken.jpg").write_bytes(b"no picture")

    def job(job_id: str, task_type: str, inputs: list[str], outputs: list[str], **params: object) -> dict[str, object]:
        paths = {
            "input_paths": [str(media / name) for name in inputs],
            "output_paths": [str(out / name) for name in outputs],
        }
        return {"job_id": job_id, "task_type": task_type, "params": {**params, **paths}}

    rows = [
        job(f"{name} {kind}", "image_resize", [name], [f"{kind} {name}"], **size)
        for name in SHAPES
        for kind, size in (
            ("stretched", {"width": 200, "height": 100}),
            ("fitted", {"width": 320, "height": 320, "maintain_aspect_ratio": True}),
        )
    ]
    for conversion in CONVERSIONS:
        name, _, target = conversion.partition(" to ")
        rows.append(job(conversion, "image_conversion", [name], [f"{name}.{target}"], format=target, quality=90))
    several = ["palette.png", "sideways.jpg", "scan.tiff"]
    rows.append(job("several", "image_conversion", several, ["1.webp", "2.webp", "3.webp"], format="webp"))
    rows.append(
        job("one broken", "image_conversion", ["scan.tiff", "broken.jpg"], ["whole.png", "none.png"], format="png")
    )
    databases.create(server / "media_store.db", "current")
    databases.insert(server / "media_store.db", rows)
    return Album(server, Program(server).drain())


def look_alike(one: Path, other: Path) -> bool:
    """Compare two pictures as an eye would from far away: sizes and fine noise do not count."""
    far_away = []
    for path in (one, other):
        with Image.open(path) as picture:
            far_away.append(picture.convert("RGB").resize((8, 6), Image.Resampling.BOX))
    differences = ImageStat.Stat(ImageChops.difference(*far_away)).mean
    return max(differences) < 12


@pytest.mark.parametrize(("kind", "size"), [("stretched", (200, 100)), ("fitted", (320, 240))])
@pytest.mark.parametrize("name", SHAPES)
def test_a_picture_is_resized_in_its_own_format(album: Album, name: str, kind: str, size: tuple[int, int]) -> None:
    job = album.drained.job(f"{name} {kind}")
    output = album.output(f"{kind} {name}")
    assert (job["status"], job["error_message"], job["progress"]) == ("completed", None, 100)
    assert job["output"]["processed_files"] == [str(output)]
    with Image.open(output) as resized, Image.open(album.source(name)) as original:
        assert (resized.size, resized.format, resized.mode) == (size, original.format, original.mode)
    assert name in NOT_TO_COMPARE or look_alike(output, album.source(name))


@pytest.mark.parametrize("conversion", [one for one in CONVERSIONS if one not in IMPOSSIBLE])
def test_a_picture_is_converted(album: Album, conversion: str) -> None:
    name, _, target = conversion.partition(" to ")
    job = album.drained.job(conversion)
    output = album.output(f"{name}.{target}")
    assert (job["status"], job["error_message"]) == ("completed", None)
    assert job["output"] == {"processed_files": [str(output)], "format": target, "quality": 90}
    with Image.open(output) as converted:
        assert (converted.format, converted.size) == (FORMATS[target], (640, 480))
    assert name in NOT_TO_COMPARE or look_alike(output, album.source(name))


@pytest.mark.parametrize("conversion", IMPOSSIBLE)
def test_what_the_engine_cannot_convert_ends_in_its_own_words(album: Album, conversion: str) -> None:
    job = album.drained.job(conversion)
    assert (job["status"], job["error_message"]) == ("error", IMPOSSIBLE[conversion])
    assert (job["output"], job["retry_count"]) == (None, 0)
    assert not album.output(conversion.replace(" to ", ".")).exists()


@pytest.mark.parametrize("name", MODES)
def test_the_pictures_are_what_their_names_say(album: Album, name: str) -> None:
    with Image.open(album.source(name)) as picture:
        assert picture.mode == MODES[name]


def test_the_camera_s_orientation_is_dropped_as_the_limits_say(album: Album) -> None:
    with Image.open(album.source("sideways.jpg")) as original:
        assert original.getexif()[ORIENTATION] != 1
    with Image.open(album.output("sideways.jpg.jpg")) as converted:
        assert ORIENTATION not in converted.getexif()
        assert converted.size == (640, 480)


def test_a_transparent_picture_keeps_its_transparency_where_the_format_has_it(album: Album) -> None:
    with (
        Image.open(album.output("transparent.png.webp")) as kept,
        Image.open(album.output("transparent.png.jpg")) as no,
    ):
        assert (kept.mode, no.mode) == ("RGBA", "RGB")
        assert kept.getchannel("A").getextrema() == pytest.approx((0, 255), abs=5)


def test_of_an_animation_the_first_picture_is_kept(album: Album) -> None:
    with Image.open(album.source("animated.gif")) as original:
        assert getattr(original, "n_frames", 1) == 3
    with Image.open(album.output("fitted animated.gif")) as resized:
        assert getattr(resized, "n_frames", 1) == 1


def test_several_inputs_become_several_outputs_in_their_order(album: Album) -> None:
    outputs = [album.output(f"{number}.webp") for number in (1, 2, 3)]
    assert album.drained.job("several")["output"]["processed_files"] == [str(output) for output in outputs]
    for output, name in zip(outputs, ("palette.png", "sideways.jpg", "scan.tiff"), strict=True):
        assert look_alike(output, album.source(name))


def test_one_broken_input_of_several_leaves_no_output_at_all(album: Album) -> None:
    job = album.drained.job("one broken")
    assert job["status"] == "error"
    assert job["error_message"] == f"cannot identify image file '{album.source('broken.jpg')}'"
    assert not album.output("whole.png").exists()


def test_nothing_lies_beside_the_outputs(album: Album) -> None:
    expected = {path for job in album.drained.attempts for path in (job["output"] or {}).get("processed_files", [])}
    assert {str(path) for path in (album.server / "compute").rglob("*") if not path.is_dir()} == expected
    assert not list((album.server / "compute").rglob(".clworker-*"))
