"""Alternating users: two users with the same rights take turns, and the admin makes the idle one ready.

The user that applications log in as now is never changed, so there is no moment in which it is refused, and nothing of
it to put back. The idle user is changed only if it is this secret's own.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-two-users.html
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, LoginRefusedError, RightsDifferError
from rotation.model import Credentials
from rotation.secret import Secret
from rotation.strategies.base import Known, Strategy, accepts, as_admin

# As AWS's own rotation functions name the second user, so that a secret of theirs can be taken over.
_CLONE = "_clone"


class AlternatingUsers(Strategy):
    """The idle user is the current one's name with `_clone`, or without it."""

    def next_value(self, current: Secret) -> str:
        name = _partner(current.credentials.username)
        if not name:
            raise InvalidSecretError(f"a user {_CLONE!r} has no partner: its name without {_CLONE!r} is empty")
        longest = current.traits.longest_name
        if longest and len(name.encode()) > longest:
            raise InvalidSecretError(f"the second user would be {name!r}; the server takes {longest} bytes for a name")
        return current.with_value(current.settings.new_value(), name)

    def apply(self, engine: Engine, known: Known) -> None:
        current, pending = known.current, known.pending
        if not pending.same_account(replace(current, username=_partner(current.username))):
            raise InvalidSecretError(f"AWSPENDING is for {pending}; it is expected to alternate with {current}")
        admin = known.read_admin()
        if admin is None:
            raise InvalidSecretError("alternating users need an admin secret")
        if admin.username in (current.username, pending.username):
            raise InvalidSecretError(f"the admin secret is for {admin}, one of the two users that alternate")
        with as_admin():
            engine.verify(admin)
        engine.verify(current)
        known_user = _is_named(known) or (not known.fresh and accepts(engine, pending))
        with as_admin():
            engine.clone_user(admin, current, pending, known=known_user)

    def test(
        self, engine: Engine, pending: Credentials, read_current: Callable[[], Credentials], reads: Sequence[str]
    ) -> tuple[str, ...]:
        engine.verify(pending, reads)
        current = read_current()
        try:
            expected = engine.rights(current)
        except LoginRefusedError:
            # Somebody changed it by hand; the promotion makes AWSCURRENT log in again.
            return ("AWSCURRENT is refused, so the rights of the two users could not be compared",)
        found = engine.rights(pending)
        if lacking := sorted(expected - found):
            raise RightsDifferError(f"{pending} lacks what {current} may do: {'; '.join(lacking)}")
        more = sorted(found - expected)
        return tuple(f"{pending} may do more than {current}: {right}" for right in more)


def _is_named(known: Known) -> bool:
    """Whether the last rotation had this user's turn."""
    previous = known.read_previous()
    return previous is not None and previous.same_account(known.pending)


def _partner(username: str) -> str:
    return username.removesuffix(_CLONE) if username.endswith(_CLONE) else username + _CLONE
