"""One rotation as those steps see it that read values: the credentials of the versions, engine and strategy."""

from contextlib import suppress

from rotation import engines
from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, RotationError, StageConflictError, UnavailableError
from rotation.labels import Labels
from rotation.model import AWSCURRENT, AWSPENDING, Credentials, Json, Request
from rotation.outcome import UNKNOWN
from rotation.secret import Secret
from rotation.secret_store import SecretStore
from rotation.settings import RETAIN, only_of_a_log_in
from rotation.strategies.alternating_users import AlternatingUsers
from rotation.strategies.base import Strategy
from rotation.strategies.single_user import SingleUser

STRATEGIES: dict[str, type[Strategy]] = {"single user": SingleUser, "alternating users": AlternatingUsers}


class Rotation(Labels):
    """Reads each version at most once: a version's value never changes."""

    def __init__(self, request: Request, store: SecretStore) -> None:
        super().__init__(request, store)
        self._secrets: dict[str, Secret | None] = {}
        self._looks_back = False

    def look_back(self) -> None:
        """From now on only those tags count that a log-in needs.

        Somebody may have changed the others, for better or worse, since the attempt began that is looked back at.
        """
        self._looks_back = True

    @property
    def _tags(self) -> dict[str, str]:
        tags = dict(self.description.tags)
        return only_of_a_log_in(tags) if self._looks_back else tags

    def secret(self, version: str, stage: str | None) -> Secret | None:
        """A version's value, or None if it has none or does not carry the label. Raises InvalidSecretError."""
        if not self._secrets.get(version):
            value = self.store.read(version, stage)
            self._secrets[version] = None if value is None else Secret.parse(value, self._tags, engines.ENGINES)
        return self._secrets[version]

    @property
    def current_secret(self) -> Secret:
        if secret := self.secret(self.description.current, AWSCURRENT):
            return secret
        raise UnavailableError("AWSCURRENT moved to another version just now")

    @property
    def current(self) -> Credentials:
        return self.current_secret.credentials

    @property
    def pending_secret(self) -> Secret:
        """The pending value. Raises StageConflictError if the label was taken away, UnavailableError if the value is
        not to be seen yet: reads may be older than the write before them.
        """
        token = self.request.token
        if secret := self.secret(token, AWSPENDING):
            return secret
        if not self.look_again().carries(token, AWSPENDING):
            raise StageConflictError(f"version {token} is not labelled AWSPENDING any more")
        raise UnavailableError(f"version {token} has no value to be seen yet")

    @property
    def pending(self) -> Credentials:
        return self.pending_secret.credentials

    @property
    def alternates(self) -> bool:
        """Whether two users take turns; looking back, whether they did in this attempt."""
        pending = None
        with suppress(InvalidSecretError):
            pending = self.secret(self.request.token, None) if self._looks_back else None
        return not pending.credentials.same_account(self.current) if pending else self.current_secret.alternates

    @property
    def kind(self) -> Json:
        """The names of engine and strategy, for those who count rotations."""
        return {"Engine": self.current_secret.traits.module, "Strategy": self._strategy_name}

    def kind_so_far(self) -> Json:
        """What CreateSecret found it to be; in mode Test, or if that failed, what is to be seen now."""
        return self.kind if self.request.kind["Engine"] == UNKNOWN else self.request.kind

    def kind_if_known(self) -> Json:
        """The same, or that nobody knows."""
        with suppress(RotationError):
            return self.kind_so_far()
        return self.request.kind

    @property
    def strategy(self) -> Strategy:
        return STRATEGIES[self._strategy_name]()

    @property
    def _strategy_name(self) -> str:
        return "alternating users" if self.alternates else "single user"

    @property
    def engine(self) -> Engine:
        return self.engine_of(self.current_secret)

    def engine_of(self, secret: Secret) -> Engine:
        return engines.load(secret.traits, retain=secret.settings.two_passwords == RETAIN)
