"""pydantic's errors in an operator's words: the problem, and how to fix it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hactl.config.errors import KeyPath, suggest

# The right type of a value, by the type of pydantic's error.
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping, `key: value`",
    "model_type": "a mapping, `key: value`",
    "model_attributes_type": "a mapping, `key: value`",
}

_BOUNDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than_equal": lambda ctx: f"{ctx['ge']} or more",
    "greater_than": lambda ctx: f"more than {ctx['gt']}",
    "less_than_equal": lambda ctx: f"{ctx['le']} or less",
    "less_than": lambda ctx: f"less than {ctx['lt']}",
}


def explain(root: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """The problem and the hint of one error."""
    kind, path, given = error["type"], tuple(error["loc"]), error["input"]
    ctx = error.get("ctx", {})
    if kind == "hactl":
        return str(ctx["problem"]), str(ctx["hint"])
    if kind == "extra_forbidden":
        return "unknown key", suggest(str(path[-1]), known_keys(root, path[:-1]))
    if kind == "missing":
        return "is missing", _example(root, path)
    if kind == "literal_error":
        return f"is {show(given)}", _choice(root, path, given)
    if kind == "too_short":
        return "is empty", _example(root, path) or "give one at least"
    if kind in _BOUNDS:
        return f"is {show(given)}", f"give {_BOUNDS[kind](ctx)}"
    if kind in _TYPES:
        return f"is {show(given)}", _of_type(root, path, kind, given)
    return str(error["msg"]), ""


def show(value: Any) -> str:
    """A given value in a message, shortened."""
    text = "empty" if value is None else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def known_keys(root: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys allowed in the mapping at `path`."""
    model = _model_at(root, path)
    return list(model.model_fields) if model else []


def _of_type(root: type[BaseModel], path: KeyPath, kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        return f'must be text: put it in quotes, "{str(given).lower() if isinstance(given, bool) else given}"'
    if kind == "bool_type" and isinstance(given, str) and given.lower() in ("yes", "on", "no", "off"):
        return f"write `{'true' if given.lower() in ('yes', 'on') else 'false'}`"
    example = _example(root, path)
    return f"must be {_TYPES[kind]}" + (f": {example}" if example else "")


def _choice(root: type[BaseModel], path: KeyPath, given: Any) -> str:
    setting = _field_at(root, path)
    allowed = [literal for literal in literals(setting.annotation) if isinstance(literal, str)] if setting else []
    if isinstance(given, str):
        guess = suggest(given, allowed)
        return guess if guess.startswith("allowed") else f"{guess} allowed: {', '.join(allowed)}"
    return f"allowed: {', '.join(allowed)}"


def _example(root: type[BaseModel], path: KeyPath) -> str:
    setting = _field_at(root, path)
    if setting is None or not setting.examples or not isinstance(path[-1], str):
        return ""
    return f"such as `{path[-1]}: {plain(setting.examples[0])}`"


def plain(value: Any) -> str:
    """A value as in YAML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(plain(inner) for inner in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _field_at(root: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    model = _model_at(root, path[:-1]) if path else None
    return model.model_fields.get(str(path[-1])) if model else None


def _model_at(root: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    named = False
    for step in path:
        if isinstance(step, int) or named:
            named = False
            continue
        setting = model.model_fields.get(step) if model else None
        model = next(known_models(setting.annotation), None) if setting else None
        named = setting is not None and get_origin(setting.annotation) is dict
    return model


def known_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type: `Vip | None`, `list[Group]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from known_models(part)


def literals(annotation: Any) -> Iterator[Any]:
    """The values of a type of literals."""
    for part in get_args(annotation):
        if get_origin(annotation) in (Union, UnionType, Annotated):
            yield from literals(part)
        else:
            yield part
