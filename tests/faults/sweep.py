"""One fault at every edge of a rotation, and what is left afterwards: `make faults`.

For each engine with each strategy a clean rotation is recorded: every call that the functions make to AWS and to the
server, and every invocation by the state machine. Then, for each of them and each kind of fault that applies, a new
rotation has exactly that fault. The same for the edges of a rotation that is rolled back, and for pairs of faults that
a seed draws. A judge looks from outside, lets Secrets Manager retry, and looks again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from rotation.model import STEPS
from tests.faults.edges import (
    ENTRY,
    GONE,
    INVOCATION,
    KILLED,
    PUBLICATION,
    RECOVER,
    REFUSED,
    REJECTED,
    ROTATE,
    STOPPED,
    Edge,
    Fault,
)
from tests.faults.judge import judged, judged_log_in, judged_rejection
from tests.faults.trial import Stage, edges_of, recorded
from tests.faults.verdict import Verdict
from tests.workflow.applications import CASES, Case

SEED = 20261125
PAIRS = 15
# What comes before the fault where the edges of a rollback are recorded: the server has the new password, and the
# promotion is not made.
FAILED = Fault(Edge("FinishSecret", 0, INVOCATION, "invoked"), KILLED)
REJECTED_VALUE = Fault(Edge("SetSecret", 0, INVOCATION, "invoked"), REJECTED)
ENDED = Fault(Edge("TestSecret", 0, INVOCATION, "invoked"), STOPPED)
BASES = (
    # Rolled back by the same execution.
    (FAILED,),
    # By an execution of its own, which `rotate` starts that waits; or that hears of the end, when nobody waits.
    (ENDED,),
    (ENDED, Fault(Edge(ROTATE, 0, 3, "stepfunctions:DescribeExecution"), KILLED)),
    # Nobody hears of it; nobody can look.
    (FAILED, Fault(Edge(PUBLICATION, 0, INVOCATION, ""), REFUSED)),
    (FAILED, Fault(Edge("RollBack", 0, INVOCATION, "invoked"), GONE)),
)


@dataclass
class Sweep:
    """What was recorded and what came of each fault. `applicable` counts every edge with every kind for it, `pairs`
    those that were drawn beside them.
    """

    case: str
    edges: list[str] = field(default_factory=list)
    applicable: int = 0
    pairs: int = 0
    verdicts: list[Verdict] = field(default_factory=list)


def knows_the_engine(edge: Edge) -> bool:
    """Whether a fault at this edge may come to something else with another engine."""
    return edge.call != ENTRY and edge.where not in (ROTATE, RECOVER, PUBLICATION)


def planned(stage: Stage, case: Case) -> tuple[list[Edge], list[tuple[Fault, ...]]]:
    """The edges of a clean rotation and of a rollback, and every fault that applies to them.

    With the first case alone those that know no engine, and those of the retry and of a rollback that is an execution
    of its own.
    """
    first = case == CASES[0]
    clean = recorded(stage, case)
    edges = [edge for edge in clean if first or knows_the_engine(edge)]
    faults: list[tuple[Fault, ...]] = [(Fault(edge, kind),) for edge in edges for kind in edge.kinds]
    for base in BASES if first else BASES[:1]:
        known = clean if len(base) == 1 else clean + edges
        further = [edge for edge in recorded(stage, case, *base, retried=first) if edge not in known]
        further = [edge for edge in further if first or knows_the_engine(edge)]
        further = [edge for edge in further if base == BASES[0] or edge.where not in STEPS]
        faults += [(*base, Fault(edge, kind)) for edge in further for kind in edge.kinds]
        edges += further
    return edges, faults


def swept(stage: Stage, case: Case, part: int = 0, parts: int = 1) -> Sweep:
    """The sweep of one case, or every `parts`th fault of it from that with the number `part` on."""
    edges, faults = planned(stage, case)
    sweep = Sweep(str(case), list(map(str, edges)), sum(len(edge.kinds) for edge in edges))
    later: list[tuple[Fault, list[Edge]]] = []
    for each in faults[part::parts]:
        with stage.trial(case, *each) as trial:
            verdict = judged(trial, each)
            sweep.verdicts.append(verdict)
            # What comes after the fault: the rollback and the retry.
            after = [edge for edge in edges_of(trial) if edge not in edges]
            # One invocation can have one fault.
            after = [edge for edge in after if (edge.where, edge.time) != (each[0].edge.where, each[0].edge.time)]
            after = [edge for edge in after if case == CASES[0] or knows_the_engine(edge)]
            later += [(each[0], after)] if len(each) == 1 and after else []
    if case == CASES[0]:
        add_what_has_a_judge_of_its_own(stage, case, sweep, part, parts)
    pairs = list(paired(stage, case, later, PAIRS // parts, random.Random(f"{SEED} {case} {part}")))
    sweep.pairs = len(pairs)
    sweep.verdicts += pairs
    return sweep


def edges_of_a_log_in(stage: Stage, case: Case) -> list[Edge]:
    """Those of what Secrets Manager asks for with RotateImmediately=false: only to log in."""
    with stage.trial(case) as trial:
        trial.log_in()
        return list(edges_of(trial))


def edges_of_a_rejection(stage: Stage, case: Case) -> list[Edge]:
    """Those of a rollback that takes AWSPENDING off a value, because the service has refused it for good."""
    with stage.trial(case, REJECTED_VALUE) as trial:
        trial.rotate()
        return [edge for edge in edges_of(trial) if edge.where not in (*STEPS, ROTATE, RECOVER)]


def add_what_has_a_judge_of_its_own(stage: Stage, case: Case, sweep: Sweep, part: int, parts: int) -> None:
    """A mere log-in and the rollback of a rejected value: each edge with every kind of fault."""
    for edges, base, judge in (
        (edges_of_a_log_in(stage, case), (), judged_log_in),
        (edges_of_a_rejection(stage, case), (REJECTED_VALUE,), judged_rejection),
    ):
        sweep.edges += map(str, edges)
        faults = [(*base, Fault(edge, kind)) for edge in edges for kind in edge.kinds]
        sweep.applicable += len(faults)
        for each in faults[part::parts]:
            with stage.trial(case, *each) as trial:
                sweep.verdicts.append(judge(trial, each))


def paired(
    stage: Stage, case: Case, later: list[tuple[Fault, list[Edge]]], count: int, draw: random.Random
) -> Iterator[Verdict]:
    """A fault, and another one in what follows it."""
    for first, edges in draw.sample(later, min(count, len(later))):
        edge = draw.choice(edges)
        pair = (first, Fault(edge, draw.choice(edge.kinds)))
        with stage.trial(case, *pair) as trial:
            yield judged(trial, pair)
