"""Every edge of a rotation once, and what gives a password back, with one of the kinds of fault that apply.

`make faults` tries them all.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.edges import Edge, Fault, changes_the_server
from tests.faults.judge import judged, judged_rejection
from tests.faults.sweep import FAILED, REJECTED_VALUE, edges_of_a_rejection, knows_the_engine
from tests.faults.trial import Stage, recorded
from tests.workflow.applications import CASES, Case


def one_kind_each(edges: list[Edge], case: Case) -> Iterator[Fault]:
    """For each edge another one of its kinds, and for the same edge of the next case another one."""
    for number, edge in enumerate(edges, start=CASES.index(case)):
        yield Fault(edge, edge.kinds[number % len(edge.kinds)])


def restores(edge: Edge) -> bool:
    return edge.where == "RollBack" and changes_the_server(edge.name)


def of(kind: str) -> pytest.MarkDecorator:
    """Those on one kind of server run in one process: to set one up takes as long as some trials."""
    return pytest.mark.xdist_group(f"edges of {kind}")


@pytest.mark.parametrize("case", [pytest.param(case, marks=of(case.kind), id=str(case)) for case in CASES])
def test_one_fault_at_any_edge_breaks_no_promise(case: Case, stage_of: Callable[[str], Stage]) -> None:
    stage, broken = stage_of(case.kind), []
    edges = recorded(stage, case)
    tried = [edge for edge in edges if case == CASES[0] or knows_the_engine(edge)]
    restoring = [edge for edge in recorded(stage, case, FAILED) if restores(edge)]
    faults = [(fault,) for fault in one_kind_each(tried, case)]
    for each in [*faults, *((FAILED, fault) for fault in one_kind_each(restoring, case))]:
        with stage.trial(case, *each) as trial:
            verdict = judged(trial, each)
        broken += [verdict] if verdict.broken else []

    assert len(edges) > 20
    # This one `rotate` makes only while the execution runs.
    assert "stepfunctions:DescribeExecution" in {edge.name for edge in edges}
    assert broken == []


@of(CASES[0].kind)
def test_a_value_that_is_refused_for_good_is_given_up_with_one_fault_at_any_edge_of_the_rollback(
    stage_of: Callable[[str], Stage],
) -> None:
    case, broken = CASES[0], []
    stage = stage_of(case.kind)
    edges = [edge for edge in edges_of_a_rejection(stage, case) if edge.where == "RollBack"]
    for fault in one_kind_each(edges, case):
        with stage.trial(case, REJECTED_VALUE, fault) as trial:
            verdict = judged_rejection(trial, (REJECTED_VALUE, fault))
        broken += [verdict] if verdict.broken else []

    assert "secretsmanager:UpdateSecretVersionStage" in {edge.name for edge in edges}
    assert broken == []
