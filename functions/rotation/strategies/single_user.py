"""Single user: one user's password changes. The admin changes it if the secret names one, else the user itself."""

from collections.abc import Callable, Iterator, Sequence

from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError, LoginRefusedError
from rotation.model import Credentials
from rotation.secret import Secret
from rotation.strategies.base import Known, Strategy, as_admin


class SingleUser(Strategy):
    """AWSCURRENT is tried first, so that a clean rotation sends no log-in that is refused (accounts get locked)."""

    def next_value(self, current: Secret) -> str:
        return current.with_value(current.settings.new_value())

    def apply(self, engine: Engine, known: Known) -> None:
        if not known.pending.same_account(known.current):
            raise InvalidSecretError(
                f"AWSPENDING is for {known.pending}, AWSCURRENT for {known.current}; a single user keeps name and host"
            )
        if admin := known.read_admin():
            # Before any log-in of the user: an admin that is not available would have them repeated.
            with as_admin():
                engine.verify(admin)
        refusals = []
        for login in _ladder(known):
            try:
                _change(engine, known, login)
            except LoginRefusedError as refused:
                refusals.append(refused)
                continue
            return
        second = "AWSPREVIOUS" if known.fresh else "AWSPENDING"
        raise LoginRefusedError(f"neither AWSCURRENT nor {second} logs in: {refusals[0]}")

    def test(
        self, engine: Engine, pending: Credentials, read_current: Callable[[], Credentials], reads: Sequence[str]
    ) -> tuple[str, ...]:
        engine.verify(pending, reads)
        return ()


def _change(engine: Engine, known: Known, login: Credentials) -> None:
    keep = known.current if known.keeps else None
    admin = known.read_admin()
    if login == known.pending:
        engine.verify(login)
    elif admin is None:
        engine.set_password(login, known.pending, keep)
    else:
        engine.verify(login)
        with as_admin():
            engine.set_password(admin, known.pending, keep)


def _ladder(known: Known) -> Iterator[Credentials]:
    """AWSCURRENT, and one more: a third that is refused could lock the account."""
    yield known.current
    if not known.fresh:
        yield known.pending
    elif (previous := known.read_previous()) and previous.same_account(known.pending) and previous != known.current:
        yield previous
