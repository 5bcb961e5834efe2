"""A server whose places for clients are all taken."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

# How many clients each of the servers takes.
PLACES = 30
PATIENCE = 10


@contextmanager
def all_taken(
    places: int, connected: Callable[[], AbstractContextManager[object]], is_full: Callable[[Exception], bool]
) -> Iterator[None]:
    """While the block lasts, clients of this test hold every place. `is_full`: what the server answers who finds none.

    A client that has just ended may still hold one: a refusal alone does not say that the server is full for good.
    """
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as taken:
        held = 0
        while held < places:
            assert time.monotonic() < deadline, f"{held} of {places} places within {PATIENCE} s"
            try:
                taken.enter_context(connected())
            except Exception as refusal:
                assert is_full(refusal), refusal
            else:
                held += 1
        yield
