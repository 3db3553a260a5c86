"""A clworker task: one picture in several sizes, side by side on a sheet."""

from collections.abc import Callable
from typing import Any

from cl_ml_tools import BaseJobParams, ComputeModule, Job
from PIL import Image, ImageColor, ImageOps
from pydantic import Field, field_validator


class Params(BaseJobParams):
    """The parameters. clworker reads this schema: it checks jobs by it, and its words are the help."""

    sizes: list[int] = Field([256, 128, 64], min_length=1, max_length=8, description="Longest sides, largest first.")
    margin: int = Field(8, ge=0, le=100, description="Around each one.", json_schema_extra={"unit": "px"})
    background: str = Field("white", description="A colour's name, or #rrggbb.")

    @field_validator("sizes")
    @classmethod
    def _sizes_are_sensible(cls, sizes: list[int]) -> list[int]:
        if not all(1 <= size <= 2000 for size in sizes):
            raise ValueError("each size is 1 to 2000 pixels")
        return sizes

    @field_validator("background")
    @classmethod
    def _background_is_a_colour(cls, background: str) -> str:
        ImageColor.getrgb(background)  # raises ValueError, with the name in its message
        return background


class ThumbnailSheet(ComputeModule):
    """Turns each input into one output. It may raise: the job then ends in `error` with the message."""

    @property
    def task_type(self) -> str:
        return "thumbnail_sheet"

    def get_schema(self) -> type[BaseJobParams]:
        return Params

    async def execute(
        self, job: Job, params: BaseJobParams, progress_callback: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        assert isinstance(params, Params)  # checked by our schema before
        pairs = list(zip(params.input_paths, params.output_paths, strict=True))
        for number, (source, target) in enumerate(pairs, start=1):
            with Image.open(source) as picture:
                sheet = _sheet(ImageOps.exif_transpose(picture).convert("RGB"), params)
            sheet.save(target)  # by its name alone: clworker has it appear whole, or not at all
            if progress_callback is not None:
                progress_callback(100 * number // len(pairs))
        return {"status": "ok", "task_output": {"sheets": params.output_paths, "sizes": params.sizes}}


def _sheet(picture: Image.Image, params: Params) -> Image.Image:
    thumbnails = [ImageOps.contain(picture, (size, size)) for size in params.sizes]
    width = sum(one.width + params.margin for one in thumbnails) + params.margin
    height = max(one.height for one in thumbnails) + 2 * params.margin
    sheet = Image.new("RGB", (width, height), params.background)
    left = params.margin
    for one in thumbnails:
        sheet.paste(one, (left, params.margin))
        left += one.width + params.margin
    return sheet
