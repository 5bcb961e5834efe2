"""What an application sees of a rotation: which of its log-ins are refused, and for how long."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.workflow.machine import ROOT


@dataclass(frozen=True)
class LogIn:
    """Seconds of the monotonic clock: AWSCURRENT is asked for, the server has answered."""

    begun: float
    ended: float
    let_in: bool


@dataclass(frozen=True)
class Stretch:
    """From the beginning of the first refused log-in to the end of the next that is let in."""

    begun: float
    milliseconds: float


@dataclass
class LogIns:
    """All of one application, in their order. Each has read AWSCURRENT anew, those after a refusal too."""

    all: list[LogIn] = field(default_factory=list)

    def refused(self, begun: float, ended: float) -> int:
        """How many that began between these moments."""
        return sum(not each.let_in and begun <= each.begun <= ended for each in self.all)

    @property
    def stretches(self) -> list[Stretch]:
        """One that has not ended would be as long as the measurement: the last log-in must be let in."""
        assert self.all, "the application did not log in"
        assert self.all[-1].let_in, "the application is still refused"
        found: list[Stretch] = []
        first: LogIn | None = None
        for each in self.all:
            if not each.let_in:
                first = first or each
            elif first:
                found.append(Stretch(first.begun, (each.ended - first.begun) * 1000))
                first = None
        return found

    @property
    def pace(self) -> float:
        """The milliseconds that one takes."""
        return median(each.ended - each.begun for each in self.all) * 1000


@contextmanager
def logging_in(arn: str, environment: Mapping[str, str]) -> Iterator[LogIns]:
    """An application logs in while the block lasts; what it saw is there when the block has ended.

    `environment` says where Secrets Manager is and which authorities are trusted (PRIVATE_CA).
    """
    seen = LogIns()
    told = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}", **environment}
    command = [sys.executable, "-m", "tests.bench.client", arn]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=told
    ) as client:
        assert client.stdin
        assert client.stdout
        assert client.stdout.readline() == "ready\n", "the application was not let in"
        yield seen
        client.stdin.close()
        answer = client.stdout.read()
    assert client.returncode == 0, "the application ended"
    seen.all += [LogIn(*each) for each in json.loads(answer)]
