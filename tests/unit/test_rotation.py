"""What a step sees of a rotation, and what it says of labels and values that are not as it needs them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rotation import engines, steps
from rotation.engines.mongo import Mongo
from rotation.engines.mysql import MySQL
from rotation.engines.postgres import Postgres
from rotation.errors import InvalidSecretError, RotationError, StageConflictError, UnavailableError
from rotation.model import Json
from rotation.promotion import finish_secret
from rotation.rotation import Rotation
from rotation.strategies.alternating_users import AlternatingUsers
from rotation.strategies.single_user import SingleUser
from tests.unit.rotations import GENERIC, Account, begun
from tests.unit.test_strategies import Told

APP = {"engine": "postgres", "host": "db.example.com", "username": "app", "password": "current-7Tz"}
PENDING = APP | {"password": "pending-2Wm"}
ADMIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-AbCdEf"
WITH_ADMIN = APP | {"masterarn": ADMIN}


@pytest.fixture
def account() -> Iterator[Account]:
    with begun(APP) as account:
        yield account


@pytest.fixture
def generic() -> Iterator[Account]:
    """Of a value that no server knows: its steps run whole."""
    with begun(GENERIC) as account:
        yield account


def refusal(call: Callable[[], object], kind: type[RotationError]) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_a_value_is_read_once_but_one_that_is_not_there_yet_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = list[str](), account.model.get_secret_value

    def reading(**request: Any) -> Any:
        reads.append(request["VersionId"])
        return read(**request)

    monkeypatch.setattr(account.model, "get_secret_value", reading)
    rotation = account.rotation()

    assert rotation.secret(account.token, None) is None
    account.stage(PENDING)
    assert rotation.pending.password == rotation.pending.password == "pending-2Wm"
    assert rotation.current.password == rotation.current.password == "current-7Tz"
    assert reads == [account.token, account.token, account.current]


def test_a_version_is_read_by_the_label_by_which_a_policy_may_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with begun(APP, APP) as account:
        account.stage(PENDING)
        reads, read = list[str | None](), account.model.get_secret_value

        def reading(**request: Any) -> Any:
            reads.append(request.get("VersionStage"))
            return read(**request)

        monkeypatch.setattr(account.model, "get_secret_value", reading)
        rotation = account.rotation()

        assert rotation.current and rotation.pending and rotation.previous()
        assert reads == ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"]


def test_a_label_that_moved_just_now_is_looked_for_again_later(account: Account) -> None:
    rotation = account.rotation()
    assert rotation.description.current == account.current
    account.write(APP)
    account.write(APP)

    said = refusal(lambda: rotation.current_secret, UnavailableError)

    assert said == "AWSCURRENT moved to another version just now"


def test_a_pending_value_that_is_not_to_be_seen_yet_is_asked_for_again(account: Account) -> None:
    said = refusal(lambda: account.rotation().pending, UnavailableError)

    assert said == f"version {account.token} has no value to be seen yet"


def test_a_pending_label_that_was_taken_away_ends_the_rotation(account: Account) -> None:
    rotation = account.rotation()
    assert rotation.description.carries(account.token, "AWSPENDING")
    account.drop_pending()

    said = refusal(lambda: rotation.pending, StageConflictError)

    assert said == f"version {account.token} is not labelled AWSPENDING any more"


def test_a_previous_value_counts_if_it_has_the_shape_of_a_secret() -> None:
    for value, password in ((APP | {"password": "previous-4Kq"}, "previous-4Kq"), ({"engine": "cassandra"}, None)):
        with begun(value, APP) as account:
            found = account.rotation().previous()
            assert (found.password if found else None) == password
    with begun(APP) as account:
        assert account.rotation().previous() is None


@pytest.mark.parametrize(
    ("current", "pending", "in_step", "looking_back"),
    [
        (APP, PENDING, False, False),
        (WITH_ADMIN, WITH_ADMIN | {"username": "app_clone"}, True, True),
        # The admin secret was named, or taken out of the value, after the attempt began.
        (WITH_ADMIN, PENDING, True, False),
        (APP, PENDING | {"username": "app_clone"}, False, True),
        (WITH_ADMIN, None, True, True),
        (WITH_ADMIN, {"engine": "cassandra"}, True, True),
    ],
)
def test_looking_back_two_users_alternate_if_the_pending_value_is_of_another_one(
    current: Json, pending: Json | None, in_step: bool, looking_back: bool
) -> None:
    with begun(current) as account:
        if pending:
            account.stage(pending)
        rotation = account.rotation()
        assert rotation.alternates is in_step
        assert type(rotation.strategy) is (AlternatingUsers if in_step else SingleUser)
        rotation = account.rotation()
        rotation.look_back()
        assert rotation.alternates is looking_back


def test_looking_back_only_the_tags_of_a_log_in_count() -> None:
    with begun(APP, tags={"rotation:length": "a lot"}) as account:
        rotation = account.rotation()
        assert "'rotation:length'" in refusal(lambda: rotation.current, InvalidSecretError)
        rotation.look_back()
        assert rotation.current.username == "app"


@pytest.mark.parametrize(
    ("value", "kind", "engine"),
    [
        (APP, {"Engine": "postgres", "Strategy": "single user"}, Postgres),
        (WITH_ADMIN, {"Engine": "postgres", "Strategy": "alternating users"}, Postgres),
        (APP | {"engine": "aurora-mysql"}, {"Engine": "mysql", "Strategy": "single user"}, MySQL),
        (APP | {"engine": "mongo"}, {"Engine": "mongo", "Strategy": "single user"}, Mongo),
    ],
)
def test_a_rotation_is_counted_by_the_names_of_engine_and_strategy(value: Json, kind: Json, engine: type) -> None:
    with begun(value) as account:
        assert account.rotation().kind == account.rotation().kind_if_known() == kind
        assert type(account.rotation().engine) is engine


def test_what_create_secret_found_counts_before_what_is_to_be_seen_now(account: Account) -> None:
    found = {"Engine": "redis", "Strategy": "single user"}

    assert account.rotation(kind=found).kind_if_known() == found


def test_a_secret_that_cannot_be_read_is_of_an_unknown_kind() -> None:
    with begun({"engine": "cassandra"}) as account:
        assert account.rotation().kind_if_known() == {"Engine": "unknown", "Strategy": "unknown"}


@pytest.mark.parametrize(
    ("two_passwords", "keeps", "retains"), [("on", True, False), ("off", False, False), ("retain", True, True)]
)
def test_the_tag_says_whether_the_password_before_is_kept_and_who_keeps_it(
    two_passwords: str, keeps: bool, retains: bool
) -> None:
    with begun(APP | {"engine": "mysql"}, tags={"rotation:two-passwords": two_passwords}) as account:
        rotation = account.rotation()
        assert rotation.known(rotation.current).keeps is keeps
        assert rotation.engine._retain is retains


@pytest.mark.parametrize(("attempt", "retry", "fresh"), [(1, 0, True), (2, 0, False), (1, 1, False)])
def test_only_the_first_call_of_the_first_attempt_knows_that_nothing_was_set(
    account: Account, attempt: int, retry: int, fresh: bool
) -> None:
    rotation = account.rotation(attempt=attempt, retry_count=retry)
    known = rotation.known(rotation.current)

    assert known.fresh is fresh
    assert (known.read_admin(), known.read_previous()) == (None, None)


def staged(rotation: Rotation) -> Json:
    return steps.create_secret(rotation)


def test_a_value_is_staged_once_with_what_the_next_steps_need(generic: Account) -> None:
    completed = {
        "State": "CreateSecret",
        "CurrentVersionId": generic.current,
        "Engine": "generic",
        "Strategy": "single user",
    }

    assert staged(generic.rotation()) == completed
    value = json.loads(generic.value("AWSPENDING"))
    assert staged(generic.rotation()) == completed
    assert json.loads(generic.value("AWSPENDING")) == value
    assert value["password"] != GENERIC["password"]


def test_a_value_is_vouched_for_by_the_rotation_token(generic: Account) -> None:
    staged(generic.rotation())

    assert generic.model._find(generic.arn).versions[generic.token].vouched_for


def test_each_step_says_what_was_completed(generic: Account) -> None:
    staged(generic.rotation())
    kind = {"CurrentVersionId": generic.current, "Engine": "generic", "Strategy": "single user"}

    assert steps.set_secret(generic.rotation()) == {"State": "SetSecret", **kind}
    assert steps.test_secret(generic.rotation()) == {"State": "TestSecret", **kind, "Warnings": ()}
    report = finish_secret(generic.rotation())["Report"]
    assert (report["Outcome"], report["Step"], report["Error"], report["Reason"]) == ("rotated", "none", "none", "")
    assert generic.stages()[generic.token] == ["AWSCURRENT", "AWSPENDING"]


def test_finishing_again_is_no_error(generic: Account) -> None:
    staged(generic.rotation())
    finish_secret(generic.rotation())
    generic.drop_pending()

    assert finish_secret(generic.rotation())["Report"]["Key"] == "rotated/AWSCURRENT"


def test_a_mere_log_in_needs_no_pending_value(generic: Account) -> None:
    assert steps.test_secret(generic.rotation(mode="Test"))["State"] == "TestSecret"


@pytest.mark.parametrize("mode", ["Rotate", "Test"])
def test_a_log_in_proves_by_reading_what_the_tag_names(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Told({})
    monkeypatch.setattr(engines, "load", lambda traits, retain: engine)
    with begun(APP, tags={"rotation:reads": "orders shop.items"}) as account:
        account.stage(PENDING)

        steps.test_secret(account.rotation(mode=mode))

        assert engine.read == [("app", ("orders", "shop.items"))]


def test_what_an_earlier_answer_told_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first CreateSecret stages without a look, a TestSecret of a single user proves what it finds pending."""
    engine = Told({"app": {"USAGE"}, "app_clone": {"USAGE"}})
    monkeypatch.setattr(engines, "load", lambda traits, retain: engine)
    for strategy, compared in (("single user", []), ("alternating users", ["AWSCURRENT"])):
        with begun(APP, tags={"rotation:reads": "orders"}) as account:
            reads, read = list[Any](), account.model.get_secret_value

            def reading(reads: list[Any] = reads, read: Callable[..., Any] = read, **request: Any) -> Any:
                reads.append(request["VersionStage"])
                return read(**request)

            monkeypatch.setattr(account.model, "get_secret_value", reading)
            steps.create_secret(account.rotation())
            assert reads == ["AWSCURRENT"]
            kind = {"Engine": "postgres", "Strategy": strategy}

            assert steps.test_secret(account.rotation(kind=kind)).items() >= kind.items()

            assert reads == ["AWSCURRENT", "AWSPENDING", *compared]
    assert engine.read == [("app", ("orders",))] * 2


def test_a_later_attempt_keeps_the_value_of_an_earlier_one_without_writing(
    generic: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(generic.rotation())
    value = generic.value("AWSPENDING")
    monkeypatch.setattr(generic.model, "put_secret_value", None)

    staged(generic.rotation(attempt=2))

    assert generic.value("AWSPENDING") == value


def test_a_step_stops_when_the_version_is_not_pending(generic: Account) -> None:
    generic.drop_pending()
    gone = f"version {generic.token} is not labelled AWSPENDING"

    assert refusal(lambda: steps.create_secret(generic.rotation()), StageConflictError) == gone
    for step in (steps.set_secret, steps.test_secret, finish_secret):
        with pytest.raises(StageConflictError, match=f"^{gone} any more$"):
            step(generic.rotation())


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ("InProgress", UnavailableError, "the replica in eu-west-1 is not in sync yet"),
        ("Failed", StageConflictError, "the replica in eu-west-1 is Failed; mend the replication first"),
    ],
)
def test_a_replica_that_lags_stops_the_rotation_before_anything_is_set(
    generic: Account, status: str, kind: type[RotationError], said: str
) -> None:
    staged(generic.rotation())
    generic.model.set_replication(generic.arn, "eu-west-1", status)

    assert refusal(lambda: steps.set_secret(generic.rotation()), kind) == said
    generic.model.set_replication(generic.arn, "eu-west-1", "InSync")
    assert steps.set_secret(generic.rotation())["State"] == "SetSecret"
