"""Real pictures, made by Pillow in the shapes that cameras and programs give them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ORIENTATION = 0x0112
ON_ITS_SIDE = 6


def photo(path: Path, size: tuple[int, int] = (640, 480), mode: str = "RGB", **save: object) -> Path:
    """Save a picture with colours and noise in it; the format follows from the suffix."""
    colours = Image.linear_gradient("L").resize(size)
    noise = Image.effect_noise(size, 60)
    picture = Image.merge("RGB", (colours, noise, colours.transpose(Image.Transpose.FLIP_TOP_BOTTOM)))
    picture.convert(mode).save(path, **save)  # type: ignore[arg-type]
    return path


def sideways_jpeg(path: Path) -> Path:
    """A photo taken with the camera held upright: its EXIF says how to turn it."""
    exif = Image.Exif()
    exif[ORIENTATION] = ON_ITS_SIDE
    return photo(path, exif=exif)


def progressive_jpeg(path: Path) -> Path:
    """A JPEG as web sites save it."""
    return photo(path, progressive=True)


def cmyk_jpeg(path: Path) -> Path:
    """A JPEG from a print shop."""
    return photo(path, mode="CMYK")


def grey_jpeg(path: Path) -> Path:
    """A JPEG from a scanner."""
    return photo(path, mode="L")


def transparent_png(path: Path) -> Path:
    """A PNG whose opacity rises from left to right."""
    photo(path)
    with Image.open(path) as opaque:
        alpha = Image.linear_gradient("L").rotate(90).resize(opaque.size)
        opaque.putalpha(alpha)
        opaque.save(path)
    return path


def palette_png(path: Path) -> Path:
    """A PNG of 256 colours."""
    return photo(path, mode="P")


def deep_png(path: Path) -> Path:
    """A PNG of 16 bits a pixel, as from a microscope."""
    return photo(path, mode="I;16")


def animated_gif(path: Path) -> Path:
    """A GIF of three frames."""
    frames = [Image.new("P", (640, 480), colour) for colour in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    return path


def bomb_png(path: Path, width: int = 30_000, height: int = 30_000) -> Path:
    """A PNG of a few bytes that promises a picture of gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


SHAPES: dict[str, Callable[[Path], Path]] = {
    "sideways.jpg": sideways_jpeg,
    "progressive.jpg": progressive_jpeg,
    "cmyk.jpg": cmyk_jpeg,
    "grey.jpg": grey_jpeg,
    "transparent.png": transparent_png,
    "palette.png": palette_png,
    "deep.png": deep_png,
    "animated.gif": animated_gif,
    "lossy.webp": photo,
    "scan.tiff": photo,
}
"""A picture of each kind, all of 640 by 480, by a file name for it."""
