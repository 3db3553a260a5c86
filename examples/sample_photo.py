"""Make a sample photo of 12 megapixels, with the noise and the gradients of a real one."""

import sys

from PIL import Image

SIZE = (4000, 3000)


def main(path: str) -> None:
    """Write the photo as a JPEG to ``path``."""
    sky = Image.linear_gradient("L").resize(SIZE)
    sun = Image.radial_gradient("L").resize(SIZE)
    grain = Image.effect_noise(SIZE, 40)
    Image.merge("RGB", (sun, Image.blend(sky, grain, 0.3), sky)).save(path, quality=90)
    print(f"{path}: a photo of {SIZE[0]} by {SIZE[1]} pixels")


if __name__ == "__main__":
    main(sys.argv[1])
