"""One fault at every edge of a rotation, and what is left afterwards: `make faults`.

For each engine with each strategy a clean rotation is recorded: every call that the functions make to AWS and to the
server, and every invocation by the state machine. Then, for each of them and each kind of fault that applies, a new
rotation has exactly that fault. The same for the edges of a rotation that is rolled back, and for pairs of faults that
a seed draws. A judge looks from outside, lets Secrets Manager retry, and looks again.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.edges import ENTRY, INVOCATION, KILLED, PUBLICATION, ROTATE, Edge, Fault
from tests.faults.judge import Verdict, judged
from tests.faults.trial import Stage, edges_of, recorded
from tests.workflow.applications import CASES, Case

SEED = 20261125
PAIRS = 15
# The fault after which the edges of a rollback are recorded: everything has been done but the promotion.
BASE = Fault(Edge("FinishSecret", 0, INVOCATION, "invoked"), KILLED)


@dataclass
class Sweep:
    """What was recorded and what came of each fault. `applicable` counts every edge with every kind for it."""

    case: str
    edges: list[str] = field(default_factory=list)
    applicable: int = 0
    verdicts: list[Verdict] = field(default_factory=list)


def knows_the_engine(edge: Edge) -> bool:
    """Whether a fault at this edge may come to something else with another engine."""
    return edge.call != ENTRY and edge.where not in (ROTATE, PUBLICATION)


def planned(stage: Stage, case: Case) -> tuple[list[Edge], list[tuple[Fault, ...]]]:
    """The edges of a clean rotation and of a rollback, and every fault that applies to them.

    Those that know no engine are tried with the first case alone.
    """
    clean = recorded(stage, case)
    rollback = [edge for edge in recorded(stage, case, BASE) if edge not in clean]
    if case != CASES[0]:
        clean, rollback = (list(filter(knows_the_engine, edges)) for edges in (clean, rollback))
    faults: list[tuple[Fault, ...]] = [(Fault(edge, kind),) for edge in clean for kind in edge.kinds]
    faults += [(BASE, Fault(edge, kind)) for edge in rollback for kind in edge.kinds]
    return clean + rollback, faults


def swept(stage: Stage, case: Case, pairs: int = PAIRS) -> Sweep:
    """The whole sweep of one case."""
    edges, faults = planned(stage, case)
    sweep = Sweep(str(case), list(map(str, edges)), sum(len(edge.kinds) for edge in edges))
    later: list[tuple[Fault, list[Edge]]] = []
    for each in faults:
        with stage.trial(case, *each) as trial:
            verdict = judged(trial, each)
            sweep.verdicts.append(verdict)
            # What comes after the fault: the rollback and the retry.
            after = [edge for edge in edges_of(trial) if edge not in edges and knows_the_engine(edge)]
            later += [(each[0], after)] if len(each) == 1 and after else []
    sweep.verdicts += paired(stage, case, later, pairs)
    return sweep


def paired(stage: Stage, case: Case, later: list[tuple[Fault, list[Edge]]], count: int) -> Iterator[Verdict]:
    """A fault, and another one in what follows it."""
    draw = random.Random(f"{SEED} {case}")
    for first, edges in draw.sample(later, min(count, len(later))):
        edge = draw.choice(edges)
        pair = (first, Fault(edge, draw.choice(edge.kinds)))
        with stage.trial(case, *pair) as trial:
            yield judged(trial, pair)
