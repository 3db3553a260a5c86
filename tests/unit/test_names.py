"""Names of staged inputs and of outputs: unique, and as close to the input's as can be."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clworker.core.submission import output_names, unique_names

# Few letters and endings, so that equal names and names that look numbered are common.
names = st.lists(st.from_regex(r"[ab](-[23])?(-2)?(\.jpg|\.png)?", fullmatch=True), max_size=8)


@given(names=names)
def test_names_become_unique_and_the_first_of_each_keeps_its_own(names: list[str]) -> None:
    given_names = unique_names(names)
    assert len(set(given_names)) == len(names)
    for number, (name, given_name) in enumerate(zip(names, given_names, strict=True)):
        stem, extension = os.path.splitext(name)
        assert given_name.startswith(stem) and os.path.splitext(given_name)[1] == extension
        assert (given_name == name) is (name not in names[:number])


@given(names=names)
def test_names_that_are_unique_stay_as_they_are(names: list[str]) -> None:
    distinct = list(dict.fromkeys(names))
    assert unique_names(distinct) == distinct
    assert unique_names(unique_names(names)) == unique_names(names)


@given(names=names, output_format=st.sampled_from([None, "webp", "jpg"]))
def test_outputs_are_unique_and_have_the_formats_extension(names: list[str], output_format: str | None) -> None:
    outputs = output_names(names, output_format)
    assert len(set(outputs)) == len(names)
    for name, output in zip(names, outputs, strict=True):
        wanted = f".{output_format}" if output_format else os.path.splitext(name)[1]
        assert os.path.splitext(output)[1] == wanted


@pytest.mark.parametrize(
    ("inputs", "output_format", "outputs"),
    [
        ([], None, []),
        (["a.jpg", "a.jpg", "a.jpg"], None, ["a.jpg", "a-2.jpg", "a-3.jpg"]),
        (["a.jpg", "a-2.jpg", "a.jpg"], None, ["a.jpg", "a-2.jpg", "a-3.jpg"]),
        (["a.jpg", "a.png"], "webp", ["a.webp", "a-2.webp"]),
        (["a.jpg", "a.png"], None, ["a.jpg", "a.png"]),
        (["archive.tar.gz"], "png", ["archive.tar.png"]),
        ([".hidden"], "png", [".hidden.png"]),
        (["photo"], "png", ["photo.png"]),
        (["größe 東京.JPG", "größe 東京.JPG"], None, ["größe 東京.JPG", "größe 東京-2.JPG"]),
        (["a.jpg", "A.jpg"], None, ["a.jpg", "A.jpg"]),
    ],
)
def test_outputs_are_named_after_their_inputs(inputs: list[str], output_format: str | None, outputs: list[str]) -> None:
    assert output_names(inputs, output_format) == outputs
