"""Which keys the state has on every path to it: enough to see that nothing is read before it is written.

A document is known by its shape: a mapping of keys to shapes, or None for a value of any kind. Where two paths meet,
only what both have written is known.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

type Json = dict[str, Any]
type Shape = dict[str, Any] | None

_PATH = re.compile(r"\$\$?(?:\.\w+)+")
_LITERAL = re.compile(r"'(?:\\.|[^'\\])*'")
_FAILURE: Shape = {"Error": None, "Cause": None}


class UnknownPathError(Exception):
    """A state reads what some path to it has not written."""


def shape_of(value: Any) -> Shape:
    """The shape of a sample value."""
    return {key: shape_of(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def entries(definition: Json, begin: Shape, results: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape with which each state is entered.

    `begin` is the shape of the execution's input, `results` that of what each Task's resource returns. Raises
    UnknownPathError.
    """
    context = {
        "Execution": {"Id": None, "Input": begin},
        "State": {"EnteredTime": None, "RetryCount": None},
    }
    entered: dict[str, Shape] = {definition["StartAt"]: begin}
    waiting = [definition["StartAt"]]
    while waiting:
        name = waiting.pop()
        for target, shape in _leave(name, definition["States"][name], entered[name], context, results):
            met = _both(entered[target], shape) if target in entered else shape
            if target not in entered or met != entered[target]:
                entered[target] = met
                waiting.append(target)
    return entered


def _leave(
    name: str, state: Json, entered: Shape, context: Shape, results: Mapping[str, Shape]
) -> Iterator[tuple[str, Shape]]:
    reader = _Reader(name, entered, context)
    result = results.get(name)
    effective = reader.build(state["Parameters"]) if "Parameters" in state else entered
    if state["Type"] == "Pass":
        result = effective
    if "ResultSelector" in state:
        result = _Reader(name, result, context).build(state["ResultSelector"])
    for path in _paths_of_choices_and_ends(state):
        reader.evaluate(path)
    left = _placed(entered, state.get("ResultPath", "$"), result) if state["Type"] in ("Task", "Pass") else entered
    yield from ((choice["Next"], left) for choice in state.get("Choices", []))
    yield from ((state[key], left) for key in ("Default", "Next") if key in state)
    yield from (
        (catcher["Next"], _placed(entered, catcher["ResultPath"], _FAILURE)) for catcher in state.get("Catch", [])
    )


def _paths_of_choices_and_ends(state: Json) -> Iterator[str]:
    for choice in state.get("Choices", []):
        yield from (value for key, value in choice.items() if key == "Variable" or key.endswith("Path"))
    yield from (state[key] for key in ("InputPath", "OutputPath", "CausePath", "ErrorPath") if key in state)


class _Reader:
    def __init__(self, state: str, document: Shape, context: Shape) -> None:
        self._state, self._document, self._context = state, document, context

    def build(self, template: Any) -> Shape:
        """The shape that a payload template makes."""
        if not isinstance(template, dict):
            return None
        built = {}
        for key, value in template.items():
            built[key.removesuffix(".$")] = self.evaluate(value) if key.endswith(".$") else self.build(value)
        return built

    def evaluate(self, expression: str) -> Shape:
        """The shape of a path; of an intrinsic function, whose arguments are read, nothing is known."""
        shapes = [self._read(path) for path in _PATH.findall(_LITERAL.sub("", expression))]
        return shapes[0] if expression.startswith("$") else None

    def _read(self, path: str) -> Shape:
        root, *keys = path.split(".")
        shape = self._context if root == "$$" else self._document
        for key in keys:
            if shape is None or key not in shape:
                raise UnknownPathError(f"{self._state} reads {path}")
            shape = shape[key]
        return shape


def _placed(document: Shape, path: str | None, result: Shape) -> Shape:
    if path is None:
        return document
    key = path.removeprefix("$").removeprefix(".")
    return {**(document or {}), key: result} if key else result


def _both(one: Shape, other: Shape) -> Shape:
    if one is None or other is None:
        return None
    return {key: _both(one[key], other[key]) for key in one.keys() & other.keys()}
