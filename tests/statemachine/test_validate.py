"""The validator of `make check` finds the mistakes that a definition can have."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.statemachine.validate import DEFINITION, problems

type Json = dict[str, Any]


def renamed(owner: Json, old: str, new: str) -> None:
    owner[new] = owner.pop(old)


MISTAKES: dict[str, tuple[Callable[[Json], object], str]] = {
    "a misspelt field of a state": (
        lambda states: renamed(states["CreateSecret"], "TimeoutSeconds", "TimeoutSecond"),
        "TimeoutSecond",
    ),
    "a misspelt field of a retrier": (
        lambda states: renamed(states["CreateSecret"]["Retry"][0], "MaxAttempts", "MaxAttempt"),
        "MaxAttempt",
    ),
    "a misspelt field of a catcher": (
        lambda states: renamed(states["CreateSecret"]["Catch"][0], "ErrorEquals", "ErrorEqual"),
        "ErrorEqual",
    ),
    "a misspelt operator": (
        lambda states: renamed(states["SelectMode"]["Choices"][0], "StringEquals", "StringEqual"),
        "StringEqual",
    ),
    "a misspelt value": (
        lambda states: states["CreateSecret"]["Retry"][0].update(JitterStrategy="Full"),
        "Full",
    ),
    "a type that does not exist": (lambda states: states["CreateSecret"].update(Type="Tsk"), "Tsk"),
    "a number as text": (lambda states: states["CreateSecret"].update(TimeoutSeconds="30"), "30"),
    "a path without its dollar": (lambda states: states["CreateSecret"].update(ResultPath="Completed"), "Completed"),
    "an intrinsic function that does not exist": (
        lambda states: states["CreateSecret"]["Parameters"].update({"Payload.$": "States.Formt('{}', $.Mode)"}),
        "grammar",
    ),
    "no next state": (lambda states: states["CreateSecret"].pop("Next"), "'Next'"),
    "a next state that does not exist": (
        lambda states: states["CreateSecret"].update(Next="SetSecrets"),
        "there is no state SetSecrets",
    ),
    "a catcher that leads nowhere": (
        lambda states: states["CreateSecret"]["Catch"][0].update(Next="RolBack"),
        "there is no state RolBack",
    ),
    "a choice that leads nowhere": (
        lambda states: states["SelectMode"]["Choices"][0].update(Next="CreatSecret"),
        "there is no state CreatSecret",
    ),
    "a state that nothing leads to": (
        lambda states: states.update(Forgotten={"Type": "Succeed"}),
        "nothing leads to Forgotten",
    ),
}


def test_the_definition_has_none() -> None:
    assert list(problems(DEFINITION.read_text())) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    make, found = MISTAKES[mistake]
    definition = json.loads(DEFINITION.read_text())
    make(definition["States"])

    assert any(found in problem for problem in problems(json.dumps(definition)))


def test_a_beginning_that_does_not_exist_is_found() -> None:
    definition = json.loads(DEFINITION.read_text()) | {"StartAt": "Begi"}

    assert "graph: there is no state Begi" in problems(json.dumps(definition))
