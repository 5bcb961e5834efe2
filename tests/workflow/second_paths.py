"""What EventBridge's rules tell people of executions that could not do so themselves, read from monitoring.yaml."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import yaml

from tests.workflow.machine import ROOT

type Json = dict[str, Any]

# An event is of the one machine there is.
ANY = "any"


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions: of !Sub the text, of any other that it is any value.

    Of !If both values, since a stack has the one or the other.
    """


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if suffix == "If" and isinstance(node, yaml.SequenceNode):
        return {"If": loader.construct_sequence(node, deep=True)}
    return loader.construct_scalar(node) if suffix == "Sub" and isinstance(node, yaml.ScalarNode) else ANY


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def _rules(key: bool) -> Mapping[str, Json]:
    """Those with an event pattern that a stack has with the parameter KeyArn, or without it, by their logical ids."""
    resources = yaml.load((ROOT / "monitoring.yaml").read_text(), _Loader)["Resources"]
    return {
        name: _decided(each["Properties"], key)
        for name, each in resources.items()
        if "EventPattern" in each.get("Properties", {}) and not (key and each.get("Condition") == "HasNoKey")
    }


def _decided(value: Any, key: bool) -> Any:
    if isinstance(value, dict):
        if "If" in value:
            condition, with_key, without = value["If"]
            assert condition == "HasKey"
            return with_key if key else without
        return {name: _decided(inner, key) for name, inner in value.items()}
    return value


def notices(event: Json, *, key: bool = False) -> dict[str, str]:
    """The texts that the rules publish for this event, by the rule; `key`: with the parameter KeyArn."""
    fired = {name: rule for name, rule in _rules(key).items() if matches(rule["EventPattern"], event)}
    return {name: _rendered(rule["Targets"][0]["InputTransformer"], event) for name, rule in fired.items()}


def matches(pattern: Any, event: Any) -> bool:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html"""
    if isinstance(pattern, dict):
        alternatives = pattern.get("$or")
        fields = ((field, inner) for field, inner in pattern.items() if field != "$or")
        matched = all(field in event and matches(inner, event[field]) for field, inner in fields)
        return matched and (alternatives is None or any(matches(each, event) for each in alternatives))
    values = event if isinstance(event, list) else [event]
    return any(_takes(each, value) for each in pattern for value in values)


def _takes(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return wanted in (value, ANY)
    ((operator, operand),) = wanted.items()
    return _OPERATORS[operator](value, operand)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "prefix": lambda value, operand: str(value).startswith(operand),
    "suffix": lambda value, operand: str(value).endswith(operand),
    "anything-but": lambda value, operand: value not in operand,
}


def _rendered(transformer: Json, event: Json) -> str:
    text = str(json.loads(transformer["InputTemplate"]))
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for key in path.split(".")[1:]:
            value = value[key]
        text = text.replace(f"<{name}>", str(value))
    return re.sub(r"\$\{[\w:]+\}", ANY, text)
