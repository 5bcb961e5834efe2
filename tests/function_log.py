"""What the functions log in this process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from rotation import runtime


@contextmanager
def logged_to(log: io.StringIO) -> Iterator[io.StringIO]:
    """While the block lasts, the functions' log goes here."""
    [handler] = runtime.logger.handlers
    assert hasattr(handler, "setStream")
    before = handler.setStream(log)
    try:
        yield log
    finally:
        handler.setStream(before)
