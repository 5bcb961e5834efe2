"""docs/architecture.md shows the state machine and the time limits as they are."""

import re
from pathlib import Path

from rotation import invocation
from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT
from tests.contract.test_asl import DEFINITION, RESOURCES, STATES, function_timeout, longest_from
from tests.statemachine.diagram import mermaid

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def test_the_diagram_has_exactly_the_states_and_transitions_of_the_definition() -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)\n```", PAGE, re.DOTALL)

    assert diagram == mermaid(DEFINITION)


def test_the_table_lists_the_states_in_their_order_with_the_functions_that_they_call() -> None:
    called = {name: state.get("Parameters", {}).get("FunctionName", "") for name, state in STATES.items()}
    handlers = {name: re.sub(r"(?<!^)(?=[A-Z])", "_", arn[2:-12]).lower() for name, arn in called.items() if arn}

    listed = {state: function.strip("`") for state, function, *_ in rows("The state machine")}

    assert list(listed) == list(STATES)
    assert {state: function for state, function in listed.items() if function and function != "(SNS)"} == handlers


def test_the_table_of_time_limits_has_the_numbers_of_code_template_and_definition() -> None:
    limit = int(RESOURCES["RotateFunction"]["Properties"]["Timeout"])
    lines = ("CreateSecret", "FinishSecret"), ("SetSecret", "TestSecret", "TestCurrent"), ("RollBack",)
    pairs = [{f"{function_timeout(name)} / {STATES[name]['TimeoutSeconds']}" for name in line} for line in lines]

    assert [numbers for _, numbers in rows("Time limits")] == [
        str(CONNECT_TIMEOUT),
        str(STATEMENT_TIMEOUT),
        str(STATES["AwaitLateStatement"]["Seconds"]),
        *(pair for line in pairs for pair in line),
        str(STATES["Alert"]["TimeoutSeconds"]),
        f"{longest_from(DEFINITION['StartAt']):g}",
        str(DEFINITION["TimeoutSeconds"]),
        f"{limit - invocation._LAST_SECONDS} / {limit}",
    ]
