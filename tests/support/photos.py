"""Real pictures, made by Pillow in the shapes that cameras and programs give them."""

from pathlib import Path

from PIL import Image


def photo(path: Path, size: tuple[int, int] = (640, 480), mode: str = "RGB", **save: object) -> Path:
    """Save a picture with colours and noise in it; the format follows from the suffix."""
    colours = Image.linear_gradient("L").resize(size)
    noise = Image.effect_noise(size, 60)
    picture = Image.merge("RGB", (colours, noise, colours.transpose(Image.Transpose.FLIP_TOP_BOTTOM)))
    picture.convert(mode).save(path, **save)  # type: ignore[arg-type]
    return path
