"""`python -m tests.statemachine.validate`: what is wrong with the state machine's definition as Amazon States Language.

Three readers, because none finds everything: the grammar of moto's interpreter (a misspelt field, a path or an
intrinsic function that does not parse), the schema of cfn-lint's rule E3601 (a field that is missing), and the graph (a
target that does not exist, a state that nothing leads to).
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from tests.statemachine.diagram import targets

type Json = dict[str, Any]

DEFINITION = Path(__file__).parents[2] / "statemachine/rotation.asl.json"
# The schema leaves out OutputPath of the states that it does not know it of, though the language has it:
# https://states-language.net/spec.html#filters
_UNKNOWN_TO_THE_SCHEMA = "Additional properties are not allowed ('OutputPath' was unexpected)"


def problems(text: str) -> Iterator[str]:
    """Of a definition, each in a sentence or two. The schema, whose reader takes longest, is asked last."""
    definition = json.loads(text)
    yield from _of_the_grammar(text)
    yield from _of_the_graph(definition)
    yield from _of_the_schema(definition)


def _of_the_grammar(text: str) -> Iterator[str]:
    try:
        with redirect_stdout(sys.stderr):
            AmazonStateLanguageParser.parse(text)
    except Exception as error:
        yield f"grammar: {error}"


def _of_the_schema(definition: Json) -> Iterator[str]:
    from cfnlint.api import lint  # noqa: PLC0415  two seconds, for every process that collects the tests

    known = json.loads(json.dumps(definition).replace("${Partition}", "aws"))
    substitutions = dict.fromkeys(re.findall(r"\$\{(\w+)\}", json.dumps(known)), "text")
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/rotation",
        "Definition": known,
        "DefinitionSubstitutions": substitutions,
    }
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    for match in lint(json.dumps({"Resources": {"Machine": machine}}), regions=["us-east-1"]):
        if match.message != _UNKNOWN_TO_THE_SCHEMA:
            yield f"schema: {match.message} at {'/'.join(map(str, match.path))}"


def _of_the_graph(definition: Json) -> Iterator[str]:
    states: dict[str, Json] = definition["States"]
    entered = {definition["StartAt"], *(target for state in states.values() for target in targets(state))}
    yield from (f"graph: there is no state {name}" for name in sorted(entered - states.keys()))
    yield from (f"graph: nothing leads to {name}" for name in sorted(states.keys() - entered))


if __name__ == "__main__":
    sys.exit("\n".join(problems(DEFINITION.read_text())) or 0)
