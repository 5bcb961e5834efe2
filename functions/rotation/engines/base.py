"""The contract of an engine: one protocol, no more."""

from abc import ABC, abstractmethod

from rotation.model import Credentials

# Seconds. The server itself ends a statement after STATEMENT_TIMEOUT, also when its client has died, so nothing that an
# engine sent can take effect later than that; the state machine waits longer before it looks what is true.
CONNECT_TIMEOUT = 4
STATEMENT_TIMEOUT = 5


class Engine(ABC):
    """One kind of server.

    Every method may raise UnavailableError (no answer, or "later") and InvalidSecretError (the server's certificate is
    not trusted, or the database does not exist). No method retries, logs or reads a secret.
    """

    @abstractmethod
    def verify(self, credentials: Credentials) -> None:
        """Log in and ask something trivial. Raises LoginRefusedError if the server refuses the credential."""

    @abstractmethod
    def set_password(self, login: Credentials, target: Credentials) -> None:
        """Logged in as `login`, give `target.username` the password `target.password`.

        Setting the password that the user already has is not an error. Raises LoginRefusedError if `login` is refused,
        PasswordRejectedError if the server refuses the new password, RightsDifferError if `login` may not change it.
        """
