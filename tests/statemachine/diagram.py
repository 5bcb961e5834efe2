"""The state machine's definition as a graph, and as the Mermaid diagram in docs/architecture.md."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

type Json = dict[str, Any]


def targets(state: Json) -> Iterator[str]:
    """The states that may follow a state, in the order of the definition."""
    yield from (choice["Next"] for choice in state.get("Choices", []))
    yield from (state[key] for key in ("Default", "Next") if key in state)
    yield from (catcher["Next"] for catcher in state.get("Catch", []))


def transitions(definition: Json) -> set[tuple[str, str]]:
    """Every step from one state to another that the definition allows."""
    return {(name, target) for name, state in definition["States"].items() for target in targets(state)}


def is_end(state: Json) -> bool:
    return state["Type"] in ("Succeed", "Fail") or state.get("End", False)


def mermaid(definition: Json) -> str:
    """A state diagram with exactly the definition's states and transitions."""
    lines = ["stateDiagram-v2", f"    [*] --> {definition['StartAt']}"]
    for name, state in definition["States"].items():
        lines += [f"    {name} --> {target}" for target in dict.fromkeys(targets(state))]
        lines += [f"    {name} --> [*]"] if is_end(state) else []
    return "\n".join(lines)


if __name__ == "__main__":
    print(mermaid(json.loads((Path(__file__).parents[2] / "statemachine/rotation.asl.json").read_text())))
