"""A job's parameters against its task's schema: what is typed, what is refused and how that is said."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from cl_ml_tools import BaseJobParams
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from clworker.core.errors import ParamsRefused
from clworker.core.tasks import params


class Choice(StrEnum):
    ONE = "1"
    TRUE = "true"
    PNG = "png"


class Point(BaseModel):
    x: int
    y: int = 0


class Params(BaseJobParams):
    """One field of each kind that a plugin may have."""

    text: str = ""
    maybe_text: str | None = None
    choice: Choice = Choice.PNG
    maybe_choice: Optional[Choice] = None  # noqa: UP045 - older plugins write it so
    word: Literal["1", "null"] = "1"
    file: Path | None = None
    short: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    number: int = 1
    size: Annotated[int, Field(ge=1, lt=100, description="how large")] = 7
    ratio: Annotated[float, Field(gt=0, le=1)] = 1
    flag: bool = False
    items: list[int] = Field(default_factory=list)
    table: dict[str, Any] = Field(default_factory=dict)
    point: Point | None = None
    anything: Any = None
    text_or_number: str | int = 0


class Needy(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int
    height: Annotated[int, Field(alias="hoehe")]


class Strange(BaseModel):
    value: int = 0

    @field_validator("value")
    @classmethod
    def _check(cls, value: int) -> int:
        if value == 1:
            raise ValueError("one is\nno good")
        if value == 2:
            raise RuntimeError("two breaks\n the validator")
        return value


TEXT_FIELDS = ["text", "maybe_text", "choice", "maybe_choice", "word", "file", "short"]
JSON_FIELDS = ["number", "size", "ratio", "flag", "items", "table", "point", "anything", "text_or_number"]
PATHS = {"input_paths": ["/a"], "output_paths": ["/b"]}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(TEXT_FIELDS), text=st.text() | json_values.map(json.dumps))
def test_a_text_field_gets_the_text_as_it_was_typed(name: str, text: str) -> None:
    assert params.parse_values(Params, {name: text}) == {name: text}


@given(name=st.sampled_from(JSON_FIELDS), value=json_values)
def test_any_other_field_gets_the_json_value(name: str, value: Any) -> None:
    assert params.parse_values(Params, {name: json.dumps(value)}) == {name: value}


@given(name=st.sampled_from(JSON_FIELDS), text=st.text(st.characters(categories=["L"]), min_size=6))
@example(name="ratio", text="Infinity")
@example(name="ratio", text="NaN")
def test_what_is_no_json_stays_text(name: str, text: str) -> None:
    assert params.parse_values(Params, {name: text}) == {name: text}


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "text": st.text(st.characters(exclude_categories=["Cs"])),
            "choice": st.sampled_from(list(map(str, Choice))),
            "maybe_choice": st.sampled_from(list(map(str, Choice))),
            "word": st.sampled_from(["1", "null"]),
            "number": st.integers(-(2**60), 2**60),
            "size": st.integers(1, 99),
            "ratio": st.floats(0.001, 1),
            "flag": st.booleans(),
            "items": st.lists(st.integers(-(2**60), 2**60)),
            "point": st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.integers(0, 9)}),
        },
    )
)
def test_valid_values_survive_being_typed_checked_and_stored(values: dict[str, Any]) -> None:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    parsed = params.parse_values(Params, texts)
    model = params.validate(Params, {**parsed, **PATHS})
    stored = {name: model.model_dump(mode="json")[name] for name in parsed}
    params.check_finite(stored)
    assert json.loads(json.dumps(stored)) == values
    assert params.validate(Params, {**stored, **PATHS}) == model


@given(given_params=json_values)
def test_whatever_a_row_holds_is_validated_or_refused_in_one_line(given_params: Any) -> None:
    for schema in (Params, Needy, Strange):
        try:
            params.validate(schema, given_params)
        except ParamsRefused as refusal:
            assert str(refusal).startswith("params")
            assert len(str(refusal).splitlines()) == 1
            assert "pydantic.dev" not in str(refusal)


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(ParamsRefused) as refusal:
        params.validate(Params, {**PATHS, "size": 100, "ratio": "wide", "choice": "gif"})
    assert str(refusal.value) == (
        "params: choice: Input should be '1', 'true' or 'png' (got 'gif'); "
        "size: Input should be less than 100 (got 100); "
        "ratio: Input should be a valid number, unable to parse string as a number (got 'wide')"
    )
    with pytest.raises(ParamsRefused, match=r"width: Field required; hoehe: Field required; colour: Extra inputs"):
        params.validate(Needy, {"colour": 1})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "params: value: one is no good (got 1)"),
        (2, "params: RuntimeError: two breaks the validator"),
        ("x" * 500, None),
    ],
)
def test_a_validators_own_words_are_folded_into_the_line(value: object, words: str | None) -> None:
    with pytest.raises(ParamsRefused) as refusal:
        params.validate(Strange, {"value": value})
    assert str(refusal.value) == words or (words is None and len(str(refusal.value)) < 250)


@pytest.mark.parametrize("value", [None, [], "text", 1, True, '{"width": 1'])
def test_params_have_to_be_an_object(value: object) -> None:
    with pytest.raises(ParamsRefused, match=r"^params are not a JSON object"):
        params.validate(Params, value)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ({}, "input_paths is empty"),
        ({"input_paths": [], "output_paths": []}, "input_paths is empty"),
        ({"output_paths": ["/b"]}, "input_paths is empty"),
        ({"input_paths": ["/a"]}, "1 input_paths but 0 output_paths"),
        ({"input_paths": ["/a", "/b"], "output_paths": ["/c"]}, "must match number of input paths"),
        ({"input_paths": ["/a", "/b"], "output_paths": ["/c", "/c"]}, "Output paths must be unique"),
        ({"input_paths": "/a", "output_paths": ["/b"]}, "input_paths: Input should be a valid list"),
        ({"input_paths": [None], "output_paths": ["/b"]}, r"input_paths\.0: Input should be a valid string"),
    ],
)
def test_each_input_needs_one_output(paths: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsRefused, match=words):
        params.validate(Params, paths)


@pytest.mark.parametrize("name", ["input_paths", "output_paths", "qqq", ""])
def test_names_that_cannot_be_given_are_refused(name: str) -> None:
    words = (
        "cannot be given: it follows"
        if name.endswith("paths")
        else f"no parameter '{name}'; its parameters: anything, "
    )
    with pytest.raises(ParamsRefused, match=words):
        params.parse_values(Params, {name: "1"})


def test_a_task_without_files_may_have_a_parameter_named_like_paths() -> None:
    assert not params.takes_files(Needy)
    assert params.parse_values(Needy, {"hoehe": "2", "width": "1"}) == {"hoehe": 2, "width": 1}
    with pytest.raises(ParamsRefused, match="its parameters: hoehe, width"):
        params.parse_values(Needy, {"input_paths": "x"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, float("-inf")], {"deep": {"x": float("nan")}}])
def test_what_json_cannot_say_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ParamsRefused, match=r"^params: ratio: .* cannot be written as JSON$"):
        params.check_finite({"size": 1, "ratio": value})


def test_unknown_names_are_those_that_the_schema_ignores() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    assert params.unknown_names(Params, {"text": 1, "colour": 1, "Size": 1, **PATHS}) == ["Size", "colour"]
    assert params.unknown_names(Needy, {"hoehe": 1, "height": 1, "width": 1}) == []
    assert params.unknown_names(Open, {"anything": 1}) == []


def test_a_description_holds_what_a_user_has_to_know() -> None:
    described = {field["name"]: field for field in params.describe(Params)}
    assert sorted(described) == sorted(TEXT_FIELDS + JSON_FIELDS)
    size = described["size"]
    assert (size["type"], size["required"], size["default"]) == ("integer", False, 7)
    assert (size["range"], size["meaning"]) == (">= 1, < 100", "how large")
    assert described["ratio"]["range"] == "<= 1, > 0" or described["ratio"]["range"] == "> 0, <= 1"
    assert described["short"]["range"] == ">= 2 long, <= 3 long"
    for name in ("choice", "maybe_choice"):
        assert (described[name]["type"], described[name]["range"]) == ("string", "one of 1, true, png")
    assert described["word"]["range"] == "one of 1, null"
    assert described["text_or_number"]["type"] == "string or integer"
    assert [field["required"] for field in params.describe(Needy)] == [True, True]
