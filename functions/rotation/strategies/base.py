"""The contract of a strategy, and what it may know."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rotation.engines.base import Engine
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


@dataclass(frozen=True)
class Tested:
    """What is odd and no failure; and whether AWSCURRENT was refused, so that it is not tried again."""

    warnings: tuple[str, ...] = ()
    current_refused: bool = False


class Strategy(ABC):
    """One way to rotate. Both changing methods are safe to repeat and to run twice at once.

    Log-ins that are refused count against an account, so none is tried that a clean rotation finds refused, and of the
    user that changes no more than two in a whole attempt (see rotation.rollback).
    """

    @abstractmethod
    def next_value(self, current: Secret) -> str:
        """The value to stage as AWSPENDING. Raises InvalidSecretError if there can be none."""

    @abstractmethod
    def apply(self, engine: Engine, known: Known) -> None:
        """Make the pending credential log in. Raises LoginRefusedError if no known credential is accepted."""

    @abstractmethod
    def test(self, engine: Engine, known: Known, reads: Sequence[str]) -> Tested:
        """Prove that the pending credential can do what it must.

        Raises LoginRefusedError, and RightsDifferError naming a right that it lacks.
        """

    @abstractmethod
    def revert(self, engine: Engine, known: Known, login: Credentials | None) -> bool:
        """Give AWSCURRENT's user AWSCURRENT's password again, even if `apply` stopped half-way.

        Called only when AWSCURRENT was refused; `login` is a credential that was just accepted, if there is one.
        Returns whether the service took it.
        """
