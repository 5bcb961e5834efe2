"""Which calls an IAM role may make: statements of policies, evaluated as AWS documents it.

A call is allowed if a statement allows it and none denies it; statements that match neither way say nothing. What is
not known here - an element, an operator, a variable - is refused with PolicyError when the policy is read: a policy
that is half understood would prove nothing. Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

type Json = Mapping[str, Any]
# The condition keys of a call with their values; a key that the call does not have is absent.
type Context = Mapping[str, str]
type _Compare = Callable[[list[str]], Callable[[str], bool]]

_VERSION = "2012-10-17"
_ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}
_IF_EXISTS = "IfExists"
_ARN_PARTS = 6


class PolicyError(Exception):
    """A policy that this evaluation does not understand."""


@dataclass(frozen=True)
class _Test:
    """One operator on one condition key: any of the values may match."""

    key: str
    matches: Callable[[str], bool]
    lacking_is_met: bool

    def met(self, context: Context) -> bool:
        value = context.get(self.key)
        return self.lacking_is_met if value is None else self.matches(value)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. All its tests must be met."""

    allows: bool
    action: re.Pattern[str]
    resources: tuple["_Wildcards", ...]
    tests: tuple[_Test, ...]

    @classmethod
    def of(cls, statement: Json) -> Self:
        """Raises PolicyError."""
        if unknown := statement.keys() - _ELEMENTS:
            raise PolicyError(f"unknown elements: {sorted(unknown)}")
        missing = {"Action", "Resource"} - statement.keys()
        if missing or statement.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError("a statement needs Effect Allow or Deny, Action and Resource")
        actions, resources = _texts(statement["Action"]), _texts(statement["Resource"])
        return cls(
            allows=statement["Effect"] == "Allow",
            action=re.compile("|".join(map(_regex, actions)), re.IGNORECASE),
            resources=tuple(map(_Wildcards, resources)),
            tests=tuple(_tests(statement.get("Condition", {}))),
        )

    def applies(self, action: str, resource: str, context: Context) -> bool:
        """`context` has the names of its keys in small letters."""
        return (
            self.action.fullmatch(action) is not None
            and any(each.match(resource) for each in self.resources)
            and all(test.met(context) for test in self.tests)
        )


@dataclass(frozen=True)
class Role:
    """A role by its name, with the statements of all its policies."""

    name: str
    statements: tuple[Statement, ...]

    @classmethod
    def of(cls, name: str, documents: Iterable[Json]) -> Self:
        """The role with these policy documents. Raises PolicyError."""
        return cls(name, tuple(Statement.of(each) for document in documents for each in statements_in(document)))

    def refusal(self, action: str, resource: str, context: Context) -> str:
        """Why the call is denied, in IAM's words; nothing if it is allowed.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
        """
        lowered = {key.lower(): value for key, value in context.items()}
        applying = [each.allows for each in self.statements if each.applies(action, resource, lowered)]
        if applying and all(applying):
            return ""
        denied = "with an explicit deny in an identity-based policy"
        unsaid = f"because no identity-based policy allows the {action} action"
        why = denied if applying else unsaid
        return f"User: {self.name} is not authorized to perform: {action} on resource: {resource} {why}"


def statements_in(document: Json) -> list[Json]:
    """The statements of a policy document. Raises PolicyError."""
    if document.keys() != {"Version", "Statement"} or document["Version"] != _VERSION:
        raise PolicyError(f"a policy document has Version {_VERSION} and Statement, and nothing else")
    found = document["Statement"]
    return [found] if isinstance(found, Mapping) else list(found)


class _Wildcards:
    """A pattern in which * is any text and ? any character, part by part where it is an ARN."""

    def __init__(self, pattern: str) -> None:
        self._any = pattern == "*"
        self._parts = [re.compile(_regex(part)) for part in pattern.split(":", _ARN_PARTS - 1)]

    def match(self, value: str) -> bool:
        parts = value.split(":", _ARN_PARTS - 1)
        same = len(parts) == len(self._parts)
        return self._any or (same and all(map(re.Pattern.fullmatch, self._parts, parts)))


def _regex(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) for each in values):
        raise PolicyError(f"one text or a list of texts is wanted, not {value!r}")
    if variables := [each for each in values if "${" in each]:
        raise PolicyError(f"policy variables are not known here: {variables}")
    return values


def _tests(condition: Json) -> Iterable[_Test]:
    for operator, keys in condition.items():
        compare = _OPERATORS.get(operator.removesuffix(_IF_EXISTS))
        if compare is None:
            raise PolicyError(f"unknown operator: {operator}")
        for key, values in keys.items():
            # A key that the call does not have is none that must not match.
            lacking_is_met = operator.endswith(_IF_EXISTS) or "Not" in operator
            # Names of keys know no case, also that of a tag in them.
            yield _Test(key.lower(), compare(_texts(values)), lacking_is_met)


def _equal(values: list[str]) -> Callable[[str], bool]:
    return values.__contains__


def _like(values: list[str]) -> Callable[[str], bool]:
    pattern = re.compile("|".join(map(_regex, values)))
    return lambda value: pattern.fullmatch(value) is not None


def _arn_like(values: list[str]) -> Callable[[str], bool]:
    patterns = [_Wildcards(each) for each in values]
    return lambda value: any(each.match(value) for each in patterns)


def _boolean(values: list[str]) -> Callable[[str], bool]:
    return [each.lower() for each in values].__contains__


def _none_of(compare: _Compare) -> _Compare:
    def negated(values: list[str]) -> Callable[[str], bool]:
        matches = compare(values)
        return lambda value: not matches(value)

    return negated


# ArnEquals and ArnLike behave identically, and so do their negations.
_OPERATORS: Mapping[str, _Compare] = {
    "StringEquals": _equal,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _boolean,
    "StringNotEquals": _none_of(_equal),
    "StringNotLike": _none_of(_like),
    "ArnNotEquals": _none_of(_arn_like),
    "ArnNotLike": _none_of(_arn_like),
}
