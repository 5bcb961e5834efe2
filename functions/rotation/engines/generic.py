"""Engine `generic`: a value that no server knows. There is nothing to set and nothing to log in to."""

from collections.abc import Sequence

from rotation.engines.base import Engine
from rotation.model import Credentials


class Generic(Engine):
    """Accepts every credential: applications read the value and nothing else checks it."""

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        """Nothing to log in to."""

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        """Nothing to change."""


ENGINE = Generic
