"""Every edge of a rotation once, with one of the kinds of fault that apply to it; `make faults` tries them all."""

from collections.abc import Iterator

import pytest

from tests.faults.edges import Edge, Fault
from tests.faults.judge import judged
from tests.faults.sweep import knows_the_engine
from tests.faults.trial import Stage, recorded
from tests.workflow.applications import CASES, Case


def one_kind_each(edges: list[Edge], case: Case) -> Iterator[Fault]:
    """For each edge another one of its kinds, and for the same edge of the next case another one."""
    for number, edge in enumerate(edges, start=CASES.index(case)):
        yield Fault(edge, edge.kinds[number % len(edge.kinds)])


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.xdist_group(f"edges of {case}")) for case in CASES], ids=str
)
def test_one_fault_at_any_edge_breaks_no_promise(case: Case) -> None:
    broken = []
    with Stage.set_up(case.kind) as stage:
        edges = recorded(stage, case)
        for fault in one_kind_each([edge for edge in edges if case == CASES[0] or knows_the_engine(edge)], case):
            with stage.trial(case, fault) as trial:
                verdict = judged(trial, (fault,))
            broken += [verdict] if verdict.broken else []

    assert len(edges) > 20
    assert broken == []
