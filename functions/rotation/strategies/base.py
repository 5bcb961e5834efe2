"""The contract of a strategy, and what it may know."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, LoginRefusedError
from rotation.model import Credentials
from rotation.secret import Secret


@dataclass(frozen=True)
class Known:
    """The credentials that a rotation has to do with. AWSPREVIOUS and the admin's are read only when they are needed.

    `fresh`: no earlier call can have made the service accept `pending`. `keeps`: where the server can hold two
    passwords, AWSCURRENT's goes on working beside the new one.
    """

    current: Credentials
    pending: Credentials
    fresh: bool
    keeps: bool
    read_previous: Callable[[], Credentials | None]
    read_admin: Callable[[], Credentials | None]


class Strategy(ABC):
    """One way to rotate. Both changing methods are safe to repeat, and to run twice at once: but of two first calls one
    may find AWSCURRENT's password replaced by the other, and be refused.

    Log-ins that are refused count against an account, so none is tried that a clean rotation finds refused, and of the
    user that changes no more than two in a whole attempt (see rotation.log_ins).

    The admin acts only for a user whose credential the secret holds, proven by a log-in: else whoever may write one
    application's secret could have any user's password changed.
    """

    @abstractmethod
    def next_value(self, current: Secret) -> str:
        """The value to stage as AWSPENDING. Raises InvalidSecretError if there can be none."""

    @abstractmethod
    def apply(self, engine: Engine, known: Known) -> None:
        """Make the pending credential log in.

        Raises LoginRefusedError if no credential of the secret is accepted, InvalidSecretError if the admin's is not.
        """

    @abstractmethod
    def test(
        self, engine: Engine, pending: Credentials, read_current: Callable[[], Credentials], reads: Sequence[str]
    ) -> tuple[str, ...]:
        """Prove that the pending credential can do what it must; returns what is odd and no failure.

        Raises LoginRefusedError, and RightsDifferError naming a right that it lacks.
        """


@contextmanager
def as_admin() -> Iterator[None]:
    """Tells the admin's refusal from that of a credential of the secret itself."""
    try:
        yield
    except LoginRefusedError as refused:
        raise InvalidSecretError(f"the credential in the admin secret is refused: {refused}") from None


def accepts(engine: Engine, credentials: Credentials) -> bool:
    """Whether the service lets this credential in."""
    try:
        engine.verify(credentials)
    except LoginRefusedError:
        return False
    return True
