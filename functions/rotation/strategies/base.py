"""The contract of a strategy, and what it may know."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from rotation.engines.base import Engine
from rotation.model import Credentials
from rotation.secret import Secret


@dataclass(frozen=True)
class Known:
    """The credentials of the secret's versions. AWSPREVIOUS is read only when it is needed."""

    current: Credentials
    pending: Credentials
    read_previous: Callable[[], Credentials | None]


class Strategy(ABC):
    """One way to rotate. Both changing methods are safe to repeat and to run twice at once."""

    @abstractmethod
    def next_value(self, current: Secret, password: str) -> str:
        """The value to stage as AWSPENDING."""

    @abstractmethod
    def apply(self, engine: Engine, known: Known) -> None:
        """Make the pending credential log in. Raises LoginRefusedError if no known credential is accepted."""

    @abstractmethod
    def revert(self, engine: Engine, known: Known) -> None:
        """Make AWSCURRENT's credential log in again, even if `apply` stopped half-way.

        Called only when AWSCURRENT was refused. Raises LoginRefusedError if no known credential is accepted.
        """
