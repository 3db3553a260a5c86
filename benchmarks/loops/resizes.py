"""The limit of a worker that resizes pictures: the same calls of Pillow, and nothing else.

A program of its own: resizes.py INPUT FOLDER NAME, which makes FOLDER/NAME-0.jpg and so on.
"""

import itertools
import os
import sys

from PIL import Image


def main(source: str, folder: str, name: str) -> None:
    """Resize until somebody ends this program; a picture gets its name once it is whole."""
    for number in itertools.count():
        path = f"{folder}/{name}-{number}.jpg"
        with Image.open(source) as photo:
            photo.resize((800, 600), Image.Resampling.LANCZOS).save(f"{path}.part", "JPEG")
        os.rename(f"{path}.part", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
