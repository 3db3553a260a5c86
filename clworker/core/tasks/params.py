"""A job's parameters against its task's schema. Runs where the plugins are: in a child process."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cl_ml_tools import BaseJobParams
from pydantic import BaseModel, ValidationError

from clworker.core.errors import ParamsRefused
from clworker.core.suggestions import did_you_mean
from clworker.core.tasks.messages import describe_exception, one_line, shortened

Schema = type[BaseModel]
_BOUNDS = ((">=", "minimum"), (">", "exclusiveMinimum"), ("<=", "maximum"), ("<", "exclusiveMaximum"))
_LENGTHS = ((">=", "minLength"), ("<=", "maxLength"))
PATH_FIELDS = ("input_paths", "output_paths")


def takes_files(schema: Schema) -> bool:
    """Tell whether the task turns each input file into one output file."""
    return issubclass(schema, BaseJobParams)


def validate(schema: Schema, params: Any) -> BaseModel:
    """Return the validated parameters. Raises ParamsRefused with every fault, in one line."""
    if not isinstance(params, dict):
        raise ParamsRefused(f"params are not a JSON object: {shortened(params)}")
    try:
        model = schema.model_validate(params)
    except ValidationError as refusal:
        faults = [_fault(error) for error in refusal.errors(include_url=False)]
        raise ParamsRefused(one_line("params: " + "; ".join(faults))) from refusal
    except Exception as failure:  # a validator of the plugin may raise anything
        raise ParamsRefused(f"params: {describe_exception(failure)}") from failure
    if takes_files(schema):
        _check_paths(params)
    return model


def unknown_names(schema: Schema, params: Mapping[str, Any]) -> list[str]:
    """Return the parameters that the schema does not know and silently ignores."""
    if schema.model_config.get("extra") == "allow":
        return []
    known = set(schema.model_fields)
    for field in schema.model_fields.values():
        known |= {alias for alias in (field.alias, field.validation_alias) if isinstance(alias, str)}
    return sorted(name for name in params if name not in known)


def parse_values(schema: Schema, texts: Mapping[str, str]) -> dict[str, Any]:
    """Turn ``-p name=value`` texts into values: text where the schema's field is text, else JSON, else text.

    Raises ParamsRefused for a name that the schema does not have.
    """
    check_names(schema, texts)
    properties = _properties(schema)
    return {name: text if _is_text(properties[name]) else _json_or_text(text) for name, text in texts.items()}


def check_names(schema: Schema, names: Iterable[str]) -> None:
    """See that the schema has each of these parameters. Raises ParamsRefused."""
    properties = _properties(schema)
    for name in names:
        if name in PATH_FIELDS and name in properties:
            raise ParamsRefused(f"{name} cannot be given: it follows from the input files")
        if name not in properties:
            known = sorted(set(properties) - set(PATH_FIELDS))
            hint = did_you_mean(name, known) or f"its parameters: {', '.join(known) or 'none'}"
            raise ParamsRefused(f"the task has no parameter {name!r}; {hint}")


def check_finite(values: Mapping[str, Any]) -> None:
    """See that every value has a form in JSON. Raises ParamsRefused for NaN and infinity."""
    for name, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError as failure:
            raise ParamsRefused(f"params: {name}: {shortened(value)} cannot be written as JSON") from failure


def describe(schema: Schema) -> list[dict[str, Any]]:
    """Describe each parameter: name, type, whether required, default, range, choices, unit and meaning.

    The unit is what the plugin says in ``json_schema_extra={"unit": "px"}``, else None.
    """
    document = schema.model_json_schema()
    required = document.get("required", [])
    return [
        {
            "name": name,
            "type": _type_name(field),
            "required": name in required,
            "default": field.get("default"),
            "range": _range(field),
            "choices": _choices(field),
            "unit": _unit(field),
            "meaning": field.get("description", ""),
        }
        for name, field in _properties(schema).items()
        if not (takes_files(schema) and name in PATH_FIELDS)
    ]


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    got = "" if error["type"] == "missing" or not place else f" (got {shortened(error['input'])})"
    return f"{place}: {message}{got}" if place else message


def _check_paths(params: Mapping[str, Any]) -> None:
    inputs, outputs = (params.get(name) or [] for name in PATH_FIELDS)
    if not inputs:
        raise ParamsRefused("params: input_paths is empty: the task needs at least one input file")
    if len(inputs) != len(outputs):
        raise ParamsRefused(
            f"params: {len(inputs)} input_paths but {len(outputs)} output_paths: each input needs one output"
        )


def _properties(schema: Schema) -> dict[str, dict[str, Any]]:
    document = schema.model_json_schema()
    definitions = document.get("$defs", {})
    return {name: _resolved(field, definitions) for name, field in document.get("properties", {}).items()}


def _resolved(field: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    followed = _followed(field, definitions)
    parts = [_followed(part, definitions) for part in followed.get("anyOf", [])]
    return {**followed, "anyOf": parts} if parts else followed


def _followed(field: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref") or next((part.get("$ref") for part in field.get("allOf", [])), None)
    target = definitions.get(str(reference).rpartition("/")[2], {}) if reference else {}
    return {**target, **field}


def _alternatives(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for part in field.get("anyOf", [field]) if part.get("type") != "null"]


def _is_text(field: Mapping[str, Any]) -> bool:
    return all(part.get("type") == "string" for part in _alternatives(field))


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON, although Python reads it")


def _type_name(field: Mapping[str, Any]) -> str:
    return " or ".join(dict.fromkeys(str(part.get("type", "any")) for part in _alternatives(field)))


def _range(field: Mapping[str, Any]) -> str:
    words: list[str] = []
    for part in _alternatives(field):
        if choices := _listed(part):
            words.append("one of " + ", ".join(map(str, choices)))
        bounds = [f"{sign} {part[key]}" for sign, key in _BOUNDS if key in part]
        lengths = [f"{sign} {part[key]} long" for sign, key in _LENGTHS if key in part]
        words.extend([", ".join(bounds + lengths)] if bounds or lengths else [])
    return "; ".join(words)


def _choices(field: Mapping[str, Any]) -> list[Any] | None:
    """Return all values that there are, or None where other ones are possible too."""
    lists = [_listed(part) for part in _alternatives(field)]
    return [choice for choices in lists for choice in choices] if all(lists) else None


def _listed(part: Mapping[str, Any]) -> Sequence[Any]:
    return part.get("enum") or ([part["const"]] if "const" in part else [])


def _unit(field: Mapping[str, Any]) -> str | None:
    unit = field.get("unit") or field.get("units")
    return unit if isinstance(unit, str) else None
