"""Single user: the user logs in as itself and changes its own password."""

from collections.abc import Iterator

from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, LoginRefusedError
from rotation.model import Credentials
from rotation.secret import Secret
from rotation.strategies.base import Known, Strategy


class SingleUser(Strategy):
    """AWSCURRENT is tried first, so that a clean rotation sends no log-in that is refused (accounts get locked)."""

    def next_value(self, current: Secret, password: str) -> str:
        return current.with_password(password)

    def apply(self, engine: Engine, known: Known) -> None:
        if not known.pending.same_account(known.current):
            raise InvalidSecretError(
                f"AWSPENDING is for {known.pending}, AWSCURRENT for {known.current}; a single user keeps name and host"
            )
        _change(engine, known.pending, _ladder(known, known.current, known.pending))

    def revert(self, engine: Engine, known: Known) -> None:
        if not known.current.same_account(known.pending):
            raise InvalidSecretError(
                f"AWSCURRENT is for {known.current}, AWSPENDING for {known.pending}; only the same one is restored"
            )
        _change(engine, known.current, _ladder(known, known.pending))


def _change(engine: Engine, target: Credentials, logins: Iterator[Credentials]) -> None:
    refusals = []
    for login in logins:
        try:
            if login == target:
                engine.verify(target)
            else:
                engine.set_password(login, target)
        except LoginRefusedError as refused:
            refusals.append(refused)
            continue
        return
    raise LoginRefusedError(f"none of the secret's versions AWSCURRENT, AWSPENDING, AWSPREVIOUS logs in: {refusals[0]}")


def _ladder(known: Known, *first: Credentials) -> Iterator[Credentials]:
    yield from first
    previous = known.read_previous()
    if previous and previous.same_account(known.pending) and previous not in (*first, known.current):
        yield previous
