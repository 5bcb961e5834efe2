"""Single user: one user's password changes. The admin changes it if the secret names one, else the user itself."""

from collections.abc import Iterator, Sequence

from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, LoginRefusedError
from rotation.model import Credentials
from rotation.secret import Secret
from rotation.strategies.base import Known, Strategy, Tested


class SingleUser(Strategy):
    """AWSCURRENT is tried first, so that a clean rotation sends no log-in that is refused (accounts get locked)."""

    def next_value(self, current: Secret) -> str:
        return current.with_value(current.settings.new_value())

    def apply(self, engine: Engine, known: Known) -> None:
        if not known.pending.same_account(known.current):
            raise InvalidSecretError(
                f"AWSPENDING is for {known.pending}, AWSCURRENT for {known.current}; a single user keeps name and host"
            )
        keep = known.current if known.keeps else None
        if admin := known.read_admin():
            engine.set_password(admin, known.pending, keep)
        else:
            _change_itself(engine, known, keep)

    def test(self, engine: Engine, known: Known, reads: Sequence[str]) -> Tested:
        engine.verify(known.pending, reads)
        return Tested()

    def revert(self, engine: Engine, known: Known, login: Credentials | None) -> bool:
        if not known.current.same_account(known.pending):
            return False
        login = known.read_admin() or login
        if login is None:
            return False
        engine.set_password(login, known.current)
        return True


def _change_itself(engine: Engine, known: Known, keep: Credentials | None) -> None:
    refusals = []
    for login in _ladder(known):
        try:
            if login == known.pending:
                engine.verify(login)
            else:
                engine.set_password(login, known.pending, keep)
        except LoginRefusedError as refused:
            refusals.append(refused)
            continue
        return
    second = "AWSPREVIOUS" if known.fresh else "AWSPENDING"
    raise LoginRefusedError(f"neither AWSCURRENT nor {second} logs in: {refusals[0]}")


def _ladder(known: Known) -> Iterator[Credentials]:
    """AWSCURRENT, and one more: a third that is refused could lock the account."""
    yield known.current
    if not known.fresh:
        yield known.pending
    elif (previous := known.read_previous()) and previous.same_account(known.pending) and previous != known.current:
        yield previous
