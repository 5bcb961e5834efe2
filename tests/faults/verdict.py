"""What a judge finds."""

from dataclasses import dataclass, field


@dataclass
class Verdict:
    """What came of the faults: how each attempt ended, and each promise that was broken."""

    faults: list[str]
    kind: str
    ends: list[str] = field(default_factory=list)
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, true: bool, promise: str) -> None:
        if not true:
            self.broken.append(promise)
