"""docs/failures.md shows the messages that the code sends, and names every error that it knows."""

import json
import re
from typing import Any

import pytest

from rotation import errors
from rotation.executions import ENDS
from tests.statemachine.conftest import ROOT, Machine, machine
from tests.unit.failures_page import CONSOLE_URL, EXAMPLES, PAGE, examples, execution, mail

__all__ = ["machine"]

# Made by the state machine itself, when the function of RollBack cannot run.
FROM_THE_STATE = "check-from-the-state"


def test_the_page_has_every_example_and_no_other() -> None:
    assert sorted(examples()) == sorted([*EXAMPLES, FROM_THE_STATE])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_the_message_that_the_code_makes(name: str) -> None:
    assert examples()[name] == EXAMPLES[name]()


def test_the_example_of_a_rollback_that_could_not_look_is_the_message_of_the_state_machine(machine: Machine) -> None:
    body = json.loads((ROOT / "events/executions/rotate.json").read_text())

    run = machine.run("RollBackCannotLook", body)

    ((_, published),) = [given for given in run.given if given[0] == "Alert"]
    assert examples()[FROM_THE_STATE] == _as_deployed(published)


def _as_deployed(published: dict[str, Any]) -> str:
    """The mail, with the console's address and the execution's name as a deployed stack has them."""
    text = mail({"Subject": published["Subject"], "Email": json.loads(published["Message"])["email"]})
    text = text.replace("https://console.example/executions", CONSOLE_URL)
    return text.replace(execution(1).rpartition(":")[0] + ":RollBackCannotLook", execution(1))


def test_every_error_has_a_row() -> None:
    known = [name for name in vars(errors) if name.endswith("Error") and name != "RotationError"]
    rows = re.findall(r"^\| `([\w.]+)`", PAGE.read_text(), re.MULTILINE)

    assert [name for name in known if name not in rows] == []


def test_every_end_of_the_state_machine_is_named() -> None:
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("### ")]

    assert [end for end in ENDS if not any(end in heading for heading in headings)] == []
