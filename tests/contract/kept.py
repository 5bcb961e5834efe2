"""A server's connections that are kept for the next use: to open one takes longer than most of what is asked there."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kept[Connection]:
    """`opened` opens one of the server's, `restored` makes it as if it were new, `start` is the server's latest one.

    A process uses those alone that it has opened: a fork that used another's, or closed it, would do it to both.
    """

    opened: Callable[[], AbstractContextManager[Connection]]
    start: Callable[[], int]
    restored: Callable[[Connection], object] = lambda _: None
    _by_process: dict[int, list[tuple[int, ExitStack, Connection]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def _idle(self) -> list[tuple[int, ExitStack, Connection]]:
        return self._by_process[os.getpid()]

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """One that nobody else uses; after an error it is not used again."""
        start, opened, connection = self._idle.pop() if self._idle else self._new()
        if start != self.start():  # since when the server was started again
            opened.close()
            start, opened, connection = self._new()
        with opened:
            yield connection
            self.restored(connection)
            self._idle.append((start, opened.pop_all(), connection))

    def close(self) -> None:
        while self._idle:
            _, opened, _ = self._idle.pop()
            opened.close()

    def _new(self) -> tuple[int, ExitStack, Connection]:
        opened = ExitStack()
        return self.start(), opened, opened.enter_context(self.opened())
