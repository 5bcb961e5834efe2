"""The contract of an engine: one protocol, no more."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from rotation.errors import InvalidSecretError
from rotation.model import Credentials

# Seconds. Where the server can, it ends a statement itself after STATEMENT_TIMEOUT, also when its client has died,
# so nothing that an engine sent can take effect later than that; the state machine waits longer before it looks.
CONNECT_TIMEOUT = 4
STATEMENT_TIMEOUT = 5


class Engine(ABC):
    """One kind of server.

    Every method may raise UnavailableError (no answer, or "later") and InvalidSecretError (the server's certificate is
    not trusted, or the database does not exist). No method retries, logs or reads a secret.
    """

    def __init__(self, *, retain: bool = False) -> None:
        """`retain` asks for the server's RETAIN CURRENT PASSWORD where a second password is to be kept (MySQL 8)."""
        self._retain = retain

    @abstractmethod
    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        """Log in, and read from each table, collection or key in `reads` without changing anything.

        Raises LoginRefusedError if the server refuses the credential, RightsDifferError naming what may not be read,
        InvalidSecretError naming what does not exist.
        """

    @abstractmethod
    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        """Logged in as `login`, give `target.username` the password `target.password`.

        Where the server can hold two passwords of one user, that of `keep` goes on working beside it; all others, and
        without `keep` every other one, are refused from then on. Setting the password that the user already has is not
        an error, and two calls at once leave the password of one of them. Raises LoginRefusedError if `login` is
        refused, PasswordRejectedError if the server refuses the new password, RightsDifferError if `login` may not
        change it.
        """

    def clone_user(self, admin: Credentials, source: Credentials, clone: Credentials, *, known: bool) -> None:
        """Logged in as `admin`, make `clone` log in with its password and with exactly the rights of `source`.

        The user is made if it does not exist, and completed if an earlier call stopped half-way. A user of that name
        who exists is somebody else's unless it is `known` from the secret, or the server shows that it is the secret's
        own: then nothing is changed and InvalidSecretError raised. `source` keeps its password, validity and rights.
        Raises like set_password.
        """
        raise InvalidSecretError(f"{_name(self)} does not support alternating users")

    def rights(self, credentials: Credentials) -> frozenset[str]:
        """What this user may do, each right in words that do not depend on the user's own name.

        Logs in as that user. Raises LoginRefusedError.
        """
        raise InvalidSecretError(f"{_name(self)} cannot compare the rights of two users")


def _name(engine: Engine) -> str:
    return type(engine).__name__.lower()


def somebody_elses(name: str) -> str:
    """What to say of a user who exists and is not known to be the secret's second one."""
    return (
        f"a user {name!r} exists already, and AWSPREVIOUS of this secret is not for it: it may be somebody else's. "
        "If an earlier rotation of this secret has made it, drop it, and it is made anew"
    )
