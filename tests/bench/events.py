"""A clock of its own, processes that wait on it, and the two kinds of limit that AWS sets: buckets and concurrency."""

import heapq
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import count

# A process yields the seconds for which it waits.
type Process[Result] = Generator[float, None, Result]


class Timeline:
    """Runs processes in the order of the moments for which they wait."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = count()
        self._waiting: list[tuple[float, int, Process[None]]] = []

    def begin(self, process: Process[None], at: float = 0.0) -> None:
        heapq.heappush(self._waiting, (at, next(self._number), process))

    def run(self) -> None:
        """Until no process waits any more."""
        while self._waiting:
            self.now, _, process = heapq.heappop(self._waiting)
            for seconds in process:
                self.begin(process, self.now + seconds)
                break


@dataclass
class Bucket:
    """A quota of calls: so many at once, and so many a second from then on. A call that finds it empty is refused."""

    timeline: Timeline
    size: float
    refill: float
    taken: int = 0
    refused: int = 0
    lowest: float = field(init=False)
    # How many calls were made in each second.
    seconds: Counter[int] = field(default_factory=Counter)
    _level: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._level = self.lowest = self.size

    def take(self) -> bool:
        self._fill()
        self.seconds[int(self._at)] += 1
        # Sums of floating-point numbers may fall short of a whole one.
        granted = self._level >= 1 - 1e-9
        self._level -= granted
        self.taken += granted
        self.refused += not granted
        self.lowest = min(self.lowest, self._level)
        return granted

    def turn(self) -> float:
        """The seconds until a call is served that is not refused but waits in a queue."""
        self._fill()
        self._level -= 1
        self.taken += 1
        return max(0.0, -self._level / self.refill)

    def _fill(self) -> None:
        now = self.timeline.now
        self._level = min(self.size, self._level + (now - self._at) * self.refill)
        self._at = now

    @property
    def busiest_second(self) -> int:
        return max(self.seconds.values(), default=0)


@dataclass
class Concurrency:
    """How many invocations run at once in an account, and which functions have an environment that is warm and idle.

    `new`: the size and refill of the bucket of new environments that each function has.
    """

    timeline: Timeline
    most: int
    new: tuple[float, float]
    running: int = 0
    peak: int = 0
    refused: int = 0
    _idle: Counter[str] = field(default_factory=Counter)
    _new: dict[str, Bucket] = field(default_factory=dict)

    def enter(self, function: str) -> str:
        """ "cold" or "warm", or nothing if there is no room for the invocation."""
        warm = self._idle[function] > 0
        if self.running >= self.most or not (warm or self._starts(function)):
            self.refused += 1
            return ""
        self.running += 1
        self.peak = max(self.peak, self.running)
        self._idle[function] -= warm
        return "warm" if warm else "cold"

    def _starts(self, function: str) -> bool:
        """Whether Lambda makes one more environment."""
        return self._new.setdefault(function, Bucket(self.timeline, *self.new)).take()

    def leave(self, function: str) -> None:
        self.running -= 1
        self._idle[function] += 1

    def called(self, function: str, seconds: Callable[[str], float]) -> Process[None]:
        """An invocation that nobody waits for, and that is not made if there is no room for it."""
        if start := self.enter(function):
            yield seconds(start)
            self.leave(function)
