"""What a strategy says. Whom it lets change what is shown with servers, in tests/contract and tests/workflow."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rotation.engines.generic import Generic
from rotation.errors import InvalidSecretError, LoginRefusedError, RightsDifferError
from rotation.model import Credentials
from rotation.strategies.alternating_users import AlternatingUsers
from rotation.strategies.base import Known, accepts, as_admin
from rotation.strategies.single_user import SingleUser

APP = Credentials("app", "current-7Tz", "db.example.com", 5432)
PENDING, CLONE, OTHER = (replace(APP, password="pending-2Wm", username=name) for name in ("app", "app_clone", "other"))
AT = "at db.example.com:5432"


class Refusing(Generic):
    """Lets nobody in, and says who came with which password's first letter."""

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        raise LoginRefusedError(f"refused {credentials.password[0]}")

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        self.verify(login)


class Told(Generic):
    """Lets everybody in and tells rights, and what was to be read."""

    def __init__(self, rights: dict[str, set[str]]) -> None:
        super().__init__()
        self._rights = rights
        self.read: list[tuple[str, tuple[str, ...]]] = []

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        self.read.append((credentials.username, tuple(reads)))

    def rights(self, credentials: Credentials) -> frozenset[str]:
        if credentials.username not in self._rights:
            raise LoginRefusedError("refused")
        return frozenset(self._rights[credentials.username])


class Recording(Generic):
    """Lets in whoever has one of these passwords, and records each call by passwords alone."""

    def __init__(self, *accepted: str) -> None:
        super().__init__()
        self._accepted = accepted
        self.calls: list[tuple[str | None, ...]] = []

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        self.calls.append((credentials.password,))
        if credentials.password not in self._accepted:
            raise LoginRefusedError("refused")

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        self.calls.append((login.password, target.password, keep.password if keep else None))
        if login.password not in self._accepted:
            raise LoginRefusedError("refused")


def known(pending: Credentials, admin: Credentials | None = None, *, fresh: bool = True) -> Known:
    return Known(APP, pending, fresh, True, lambda: replace(APP, password="previous-4Kq"), lambda: admin)


def test_a_single_user_keeps_name_and_host() -> None:
    with pytest.raises(InvalidSecretError) as error:
        SingleUser().apply(Generic(), known(OTHER))

    assert str(error.value) == (
        f"AWSPENDING is for user 'other' {AT}, AWSCURRENT for user 'app' {AT}; a single user keeps name and host"
    )


OLD, NOW, NEW, BY = "previous-4Kq", "current-7Tz", "pending-2Wm", "admin-5Rt"
ADMIN = replace(APP, username="admin", password=BY)


@pytest.mark.parametrize(
    ("accepted", "admin", "fresh", "calls"),
    [
        # A clean rotation sends no log-in that is refused.
        ((NOW,), None, True, [(NOW, NEW, NOW)]),
        ((OLD,), None, True, [(NOW, NEW, NOW), (OLD, NEW, NOW)]),
        # Repeated: it may be set already.
        ((NEW,), None, False, [(NOW, NEW, NOW), (NEW,)]),
        # The admin first, then the proof that the credential is the user's.
        ((BY, NOW), ADMIN, True, [(BY,), (NOW,), (BY, NEW, NOW)]),
        ((BY, OLD), ADMIN, True, [(BY,), (NOW,), (OLD,), (BY, NEW, NOW)]),
        ((BY, NEW), ADMIN, False, [(BY,), (NOW,), (NEW,)]),
    ],
)
def test_a_password_is_changed_by_the_user_or_for_a_user_who_is_proven(
    accepted: tuple[str, ...], admin: Credentials | None, fresh: bool, calls: list[tuple[str, ...]]
) -> None:
    engine = Recording(*accepted)

    SingleUser().apply(engine, known(PENDING, admin, fresh=fresh))

    assert engine.calls == calls


def test_where_one_password_is_enough_the_one_before_is_not_kept() -> None:
    engine = Recording(NOW)

    SingleUser().apply(engine, replace(known(PENDING), keeps=False))

    assert engine.calls == [(NOW, NEW, None)]


ELSEWHERE = replace(APP, host="elsewhere.example.com", password="previous-4Kq")


@pytest.mark.parametrize("previous", [None, APP, OTHER, ELSEWHERE])
def test_a_previous_credential_is_tried_only_if_it_is_another_one_of_the_same_user(
    previous: Credentials | None,
) -> None:
    engine = Recording()

    with pytest.raises(LoginRefusedError):
        SingleUser().apply(engine, replace(known(PENDING), read_previous=lambda: previous))

    assert engine.calls == [(NOW, NEW, NOW)]


@pytest.mark.parametrize(("fresh", "second"), [(True, "AWSPREVIOUS"), (False, "AWSPENDING")])
def test_a_user_whom_no_credential_lets_in_is_told_with_the_first_refusal(fresh: bool, second: str) -> None:
    with pytest.raises(LoginRefusedError) as error:
        SingleUser().apply(Refusing(), known(PENDING, fresh=fresh))

    assert str(error.value) == f"neither AWSCURRENT nor {second} logs in: refused c"


@pytest.mark.parametrize(
    ("pending", "admin", "said"),
    [
        (
            OTHER,
            None,
            f"AWSPENDING is for user 'other' {AT}; it is expected to alternate with user 'app' {AT}",
        ),
        (PENDING, None, f"AWSPENDING is for user 'app' {AT}; it is expected to alternate with user 'app' {AT}"),
        (CLONE, None, "alternating users need an admin secret"),
        (CLONE, APP, f"the admin secret is for user 'app' {AT}, one of the two users that alternate"),
        (CLONE, CLONE, f"the admin secret is for user 'app_clone' {AT}, one of the two users that alternate"),
        (CLONE, OTHER, "the credential in the admin secret is refused: refused p"),
    ],
)
def test_two_users_alternate_by_an_admin_who_is_neither(
    pending: Credentials, admin: Credentials | None, said: str
) -> None:
    with pytest.raises(InvalidSecretError) as error:
        AlternatingUsers().apply(Refusing(), known(pending, admin))

    assert str(error.value) == said


def test_a_pending_user_who_lacks_a_right_is_told_with_each_right_by_name() -> None:
    engine = Told({"app": {"SELECT on orders", "INSERT on orders", "USAGE"}, "app_clone": {"USAGE"}})

    with pytest.raises(RightsDifferError) as error:
        AlternatingUsers().test(engine, CLONE, lambda: APP, ())

    assert str(error.value) == (
        f"user 'app_clone' {AT} lacks what user 'app' {AT} may do: INSERT on orders; SELECT on orders"
    )


def test_a_pending_user_who_may_do_more_is_let_through_with_a_warning_for_each_right() -> None:
    engine = Told({"app": {"USAGE"}, "app_clone": {"USAGE", "SELECT on b", "SELECT on a"}})

    warnings = AlternatingUsers().test(engine, CLONE, lambda: APP, ("orders",))

    assert warnings == tuple(
        f"user 'app_clone' {AT} may do more than user 'app' {AT}: SELECT on {name}" for name in ("a", "b")
    )
    assert engine.read == [("app_clone", ("orders",))]


def test_where_the_current_user_is_refused_rights_are_not_compared() -> None:
    assert AlternatingUsers().test(Told({"app_clone": {"USAGE"}}), CLONE, lambda: APP, ()) == (
        "AWSCURRENT is refused, so the rights of the two users could not be compared",
    )


def test_a_single_user_is_tested_by_reading_what_the_tag_names() -> None:
    engine = Told({})

    assert SingleUser().test(engine, PENDING, lambda: APP, ("orders", "items")) == ()
    assert engine.read == [("app", ("orders", "items"))]


def test_the_refusal_of_an_admin_is_the_admin_secrets_fault() -> None:
    with pytest.raises(InvalidSecretError, match=r"^the credential in the admin secret is refused: no$"), as_admin():
        raise LoginRefusedError("no")


def test_a_credential_is_accepted_or_refused() -> None:
    assert accepts(Generic(), APP)
    assert not accepts(Refusing(), APP)
