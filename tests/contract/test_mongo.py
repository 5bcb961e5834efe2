"""What is MongoDB's own: authentication databases, roles, mechanisms, replica sets, its error codes.

The server is SecantusDB. Nothing here was run against MongoDB or DocumentDB, and nothing is asserted where SecantusDB
is known to differ: it leaves out `customData`, authentication restrictions and the list of privileges.
"""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from rotation.engines import mongo
from rotation.engines.mongo import Mongo
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotatorctl.local.mongo_server import REPLICA_SET
from rotatorctl.local.servers import free_port
from tests.contract.mongo_world import MongoWorld
from tests.contract.rights import mongo_commands
from tests.contract.test_engines import next_of, until

pytestmark = pytest.mark.xdist_group("SecantusDB")

ENGINE = Mongo()
_ROLE, _ = mongo_commands("mongo admin", {})
ADMIN_ACTIONS = [*_ROLE["privileges"][0]["actions"], "changeOwnPassword"]
READ_SHOP, READ_LOGS = {"role": "read", "db": "shop"}, {"role": "read", "db": "logs"}
WRITE_SHOP = {"role": "readWrite", "db": "shop"}


@pytest.fixture(scope="module")
def running() -> Iterator[MongoWorld]:
    with MongoWorld.started() as world:
        with world.server.admin() as client:
            client["shop"]["orders"].insert_many([{"n": 1}, {"n": 2}])
            client["shop"]["orders.archive"].insert_one({"n": 3})
        yield world


@pytest.fixture
def world(running: MongoWorld, monkeypatch: pytest.MonkeyPatch) -> MongoWorld:
    monkeypatch.setenv("PRIVATE_CA", running.ca_pem)
    return running


@pytest.fixture
def admin(world: MongoWorld) -> Credentials:
    """An administrator in a database of its own."""
    return administrator(world, *ADMIN_ACTIONS)


def administrator(world: MongoWorld, *actions: str) -> Credentials:
    """A new one who may do exactly this in every database."""
    made = world.user_of("staff")
    everywhere = {"resource": {"db": "", "collection": ""}, "actions": list(actions)}
    role = f"role-{made.username}"
    world.run("admin", createRole=role, privileges=[everywhere], roles=[])
    world.run("staff", grantRolesToUser=made.username, roles=[{"role": role, "db": "admin"}])
    return made


def stored(world: MongoWorld, user: Credentials) -> Mapping[str, Any]:
    """All that the server keeps of this user."""
    [found] = world.run(user.dbname, usersInfo=user.username, showCredentials=True)["users"]
    return dict(found)


def roles(world: MongoWorld, user: Credentials) -> list[Mapping[str, str]]:
    return sorted(stored(world, user)["roles"], key=str)


def clone_of(source: Credentials) -> Credentials:
    return replace(next_of(source), username=f"{source.username}_clone")


def test_a_user_logs_in_by_the_database_that_defines_it_and_by_no_other(world: MongoWorld) -> None:
    user = world.user_of("shop", READ_SHOP)

    ENGINE.verify(user)
    with pytest.raises(LoginRefusedError):
        ENGINE.verify(replace(user, dbname="admin"))


def test_users_of_the_same_name_in_two_databases_have_their_own_passwords(
    world: MongoWorld, admin: Credentials
) -> None:
    ours, theirs = world.user_of("shop", name="twin"), world.user_of("logs", name="twin")
    new = next_of(ours)

    ENGINE.set_password(admin, new)

    assert world.logs_in(new)
    assert not world.logs_in(ours)
    assert world.logs_in(theirs)


def test_a_change_of_the_password_keeps_the_roles(world: MongoWorld, admin: Credentials) -> None:
    user = world.user_of("shop", READ_LOGS, WRITE_SHOP)
    before = roles(world, user)

    ENGINE.set_password(admin, next_of(user))

    assert roles(world, user) == before != []


# To a user without SCRAM-SHA-256, SecantusDB answers PyMongo's first guess at it as if there were one, which no default
# log-in survives. MongoDB leaves that guess unanswered.
@pytest.mark.parametrize("mechanisms", [["SCRAM-SHA-1"], ["SCRAM-SHA-256"], ["SCRAM-SHA-1", "SCRAM-SHA-256"]])
def test_every_mechanism_of_a_user_takes_part_in_a_change(
    world: MongoWorld, admin: Credentials, mechanisms: list[str]
) -> None:
    old = world.user_of("shop", mechanisms=mechanisms)
    new = next_of(old)

    ENGINE.set_password(admin, new)

    assert sorted(stored(world, new)["credentials"]) == mechanisms
    for mechanism in mechanisms:
        assert world.logs_in(new, mechanism)
        assert not world.logs_in(old, mechanism)


def test_a_user_of_the_older_mechanism_takes_a_password_that_the_newer_one_forbids(
    world: MongoWorld, admin: Credentials
) -> None:
    old = world.user_of("shop", mechanisms=["SCRAM-SHA-1"])
    new = replace(old, password="new 🦊 secret")

    ENGINE.set_password(admin, new)

    assert world.logs_in(new, "SCRAM-SHA-1")
    assert not world.logs_in(old, "SCRAM-SHA-1")


def test_a_forbidden_password_is_rejected_for_a_clone_before_it_exists(world: MongoWorld, admin: Credentials) -> None:
    source = world.user_of("shop", READ_SHOP)
    clone = replace(clone_of(source), password="new 🦊 secret")

    with pytest.raises(PasswordRejectedError) as error:
        ENGINE.clone_user(admin, source, clone, known=True)

    assert str(error.value) == (
        f"{clone}: the password has characters that SASLprep (RFC 4013) forbids, so no client can log in with it"
    )

    assert world.run("shop", usersInfo=clone.username)["users"] == []


def test_a_clone_logs_in_and_has_the_rights_of_its_source_which_stays_as_it_is(
    world: MongoWorld, admin: Credentials
) -> None:
    source = world.user_of("shop", READ_LOGS, WRITE_SHOP, mechanisms=["SCRAM-SHA-1", "SCRAM-SHA-256"])
    before = stored(world, source)
    clone = clone_of(source)

    ENGINE.clone_user(admin, source, clone, known=True)

    ENGINE.verify(clone, ["shop.orders"])
    assert world.logs_in(clone)
    assert roles(world, clone) == roles(world, source)
    assert stored(world, clone)["mechanisms"] == stored(world, source)["mechanisms"]
    assert ENGINE.rights(clone) == ENGINE.rights(source) == {"role read on logs", "role readWrite on shop"}
    assert stored(world, source) == before


@pytest.mark.parametrize(("more", "fewer"), [([READ_LOGS, WRITE_SHOP], [READ_SHOP]), ([READ_LOGS], [])])
def test_a_clone_is_made_equal_whichever_of_the_two_had_more(
    world: MongoWorld, admin: Credentials, more: list[Mapping[str, str]], fewer: list[Mapping[str, str]]
) -> None:
    one, other = world.user_of("shop", *more), world.user_of("shop", *fewer)
    kept = stored(world, other)

    ENGINE.clone_user(admin, other, next_of(one), known=True)
    assert roles(world, one) == roles(world, other) == sorted(fewer, key=str)
    assert stored(world, other) == kept
    assert not world.logs_in(one)

    world.run("shop", updateUser=other.username, roles=more)
    ENGINE.clone_user(admin, other, next_of(one), known=True)
    assert roles(world, one) == roles(world, other) == sorted(more, key=str)
    assert world.logs_in(other)


def test_roles_follow_in_both_directions_as_the_users_take_turns(world: MongoWorld, admin: Credentials) -> None:
    source = world.user_of("shop", READ_SHOP, READ_LOGS)
    clone = clone_of(source)
    ENGINE.clone_user(admin, source, clone, known=True)

    world.run("shop", revokeRolesFromUser=clone.username, roles=[READ_LOGS])
    ENGINE.clone_user(admin, clone, next_of(source), known=True)

    assert roles(world, source) == [READ_SHOP]
    with pytest.raises(RightsDifferError, match=r"logs\.events"):
        ENGINE.verify(clone, ["shop.orders", "logs.events"])


def test_two_clones_at_once_leave_one_user_with_one_of_the_passwords(world: MongoWorld, admin: Credentials) -> None:
    source = world.user_of("shop", READ_SHOP)
    clones = [clone_of(source), clone_of(source)]

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda clone: ENGINE.clone_user(admin, source, clone, known=True), clones))

    assert [world.logs_in(clone) for clone in clones].count(True) == 1
    assert roles(world, clones[0]) == [READ_SHOP]


def test_a_source_that_does_not_exist_is_named(world: MongoWorld, admin: Credentials) -> None:
    source = replace(world.user_of("shop"), dbname="logs")

    with pytest.raises(InvalidSecretError, match=f"^{source}: there is no such user in the database 'logs'$"):
        ENGINE.clone_user(admin, source, clone_of(source), known=True)


def test_a_user_that_does_not_exist_gets_no_password(world: MongoWorld, admin: Credentials) -> None:
    with pytest.raises(InvalidSecretError, match="not found"):
        ENGINE.set_password(admin, replace(world.user_of("shop"), dbname="logs"))


@pytest.mark.parametrize("lacking", ["viewUser", "createUser"])
def test_an_administrator_without_one_of_these_actions_clones_nobody(world: MongoWorld, lacking: str) -> None:
    less = administrator(world, *(action for action in ADMIN_ACTIONS if action != lacking))
    source = world.user_of("shop", READ_SHOP)

    with pytest.raises(RightsDifferError, match=lacking):
        ENGINE.clone_user(less, source, clone_of(source), known=True)

    assert world.run("shop", usersInfo=f"{source.username}_clone")["users"] == []


def test_a_user_without_the_action_does_not_change_its_password(world: MongoWorld) -> None:
    user = world.user_of("shop", WRITE_SHOP)

    with pytest.raises(RightsDifferError, match="changeOwnPassword"):
        ENGINE.set_password(user, next_of(user))

    assert world.logs_in(user)


def test_a_role_of_one_action_lets_a_user_change_its_own_password(world: MongoWorld) -> None:
    own = {"resource": {"db": "shop", "collection": ""}, "actions": ["changeOwnPassword"]}
    world.run("shop", createRole="changesOwnPassword", privileges=[own], roles=[])
    old = world.user_of("shop", {"role": "changesOwnPassword", "db": "shop"})
    new = next_of(old)

    ENGINE.set_password(old, new)

    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_what_may_be_read_is_read(world: MongoWorld) -> None:
    user = world.user_of("shop", READ_SHOP)

    ENGINE.verify(user, ["orders", "shop.orders", "shop.orders.archive"])


def test_a_collection_that_does_not_exist_is_an_empty_one(world: MongoWorld) -> None:
    ENGINE.verify(world.user_of("shop", READ_SHOP), ["shop.nothing here"])

    assert "nothing here" not in str(world.run("shop", listCollections=1))


def test_what_may_not_be_read_is_named(world: MongoWorld) -> None:
    user = world.user_of("logs", READ_SHOP)

    with pytest.raises(RightsDifferError, match=r"reading 'events': not authorized"):
        ENGINE.verify(user, ["shop.orders", "events"])


@pytest.mark.parametrize("name", ["a b.orders", "$.orders", ".orders", f"{'n' * 70}.orders"])
def test_a_name_that_no_database_can_have_is_named(world: MongoWorld, name: str) -> None:
    with pytest.raises(InvalidSecretError, match="reading"):
        ENGINE.verify(world.user(), [name])


def test_a_refused_log_in_is_one_log_in(world: MongoWorld) -> None:
    user = world.user()

    with world.failing("saslContinue", errorCode=18), pytest.raises(LoginRefusedError):
        # A second try would be let in.
        ENGINE.verify(user)


def test_a_change_that_broke_off_is_not_tried_again(world: MongoWorld) -> None:
    old = world.user()
    new = next_of(old)

    with world.failing("updateUser", closeConnection=True), pytest.raises(UnavailableError, match="connection closed"):
        ENGINE.set_password(old, new)

    assert world.logs_in(old)
    assert not world.logs_in(new)


def test_a_server_that_does_not_answer_a_change_in_time_is_unavailable(
    world: MongoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo, "STATEMENT_TIMEOUT", 0)
    user = world.user()
    slow = {"blockConnection": True, "blockTimeMS": 1500, "errorCode": 11601}

    with world.failing("updateUser", **slow), pytest.raises(UnavailableError, match="timed out"):
        ENGINE.set_password(user, next_of(user))

    assert world.logs_in(user)


def test_a_change_that_no_majority_has_confirmed_is_not_known_to_last(world: MongoWorld) -> None:
    old = world.user()
    new = next_of(old)
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out"}

    with (
        world.failing("updateUser", writeConcernError=unconfirmed),
        pytest.raises(UnavailableError, match="a failover may undo it: waiting for replication timed out"),
    ):
        ENGINE.set_password(old, new)

    assert world.logs_in(new)


def test_the_server_itself_ends_what_takes_too_long(world: MongoWorld) -> None:
    """This failpoint ends every command that asks for a limit, and no other, as if its time was over."""
    user = world.user()

    world.run("admin", configureFailPoint="maxTimeAlwaysTimeOut", mode="alwaysOn")
    try:
        with pytest.raises(UnavailableError, match="time limit"):
            ENGINE.verify(user)
    finally:
        world.run("admin", configureFailPoint="maxTimeAlwaysTimeOut", mode="off")


# NotWritablePrimary, NotPrimaryNoSecondaryOk, InterruptedAtShutdown, InterruptedDueToReplStateChange,
# ShutdownInProgress, PrimarySteppedDown, MaxTimeMSExpired, Interrupted.
@pytest.mark.parametrize("code", [10107, 13435, 11600, 11602, 91, 189, 50, 11601])
@pytest.mark.parametrize("command", ["ping", "updateUser"])
def test_a_server_that_fails_over_or_gives_up_is_unavailable(world: MongoWorld, command: str, code: int) -> None:
    user = world.user()

    with world.failing(command, errorCode=code), pytest.raises(UnavailableError):
        ENGINE.set_password(user, next_of(user))

    assert world.logs_in(user)


def test_a_mechanism_that_the_server_does_not_offer_is_a_refusal(world: MongoWorld) -> None:
    with world.failing("saslContinue", errorCode=334), pytest.raises(LoginRefusedError):
        ENGINE.verify(world.user())


def test_a_password_that_the_server_cannot_prepare_is_rejected(world: MongoWorld) -> None:
    user = world.user()

    with world.failing("updateUser", errorCode=50692), pytest.raises(PasswordRejectedError):
        ENGINE.set_password(user, next_of(user))


def test_an_error_that_is_not_known_passes_as_it_is(world: MongoWorld) -> None:
    with world.failing("ping", errorCode=20), pytest.raises(OperationFailure, match="failCommand"):
        ENGINE.verify(world.user())


def test_an_error_says_what_the_server_said_and_its_code(world: MongoWorld) -> None:
    user = next_of(world.user())

    with pytest.raises(RotationError) as error:
        ENGINE.verify(user)

    assert str(error.value) == (f"user '{user.username}' at 127.0.0.1:{world.port}: authentication failed (code 18)")


@pytest.mark.parametrize("hosts", ["{dead},{alive}", "{alive},{dead}", "127.0.0.1,{dead}"])
@pytest.mark.parametrize("replica_set", ["", REPLICA_SET])
def test_of_several_hosts_one_is_enough(world: MongoWorld, hosts: str, replica_set: str) -> None:
    old = world.user()
    listed = hosts.format(dead=f"127.0.0.1:{free_port()}", alive=f"127.0.0.1:{world.port}")
    login = replace(old, host=listed, replica_set=replica_set)
    new = next_of(old)

    ENGINE.set_password(login, new)

    assert world.logs_in(new)
    assert not world.logs_in(old)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:{port}"])
def test_the_primary_of_a_replica_set_is_found_by_its_name(world: MongoWorld, host: str) -> None:
    ENGINE.verify(replace(world.user(), host=host.format(port=world.port), replica_set=REPLICA_SET))


def test_a_replica_set_of_another_name_is_not_asked(world: MongoWorld) -> None:
    user = replace(world.user(), replica_set="other")

    with pytest.raises(UnavailableError, match='No replica set members available for replica set name "other"'):
        ENGINE.verify(user)


def test_when_no_host_answers_the_first_ones_reason_is_told(world: MongoWorld) -> None:
    user = replace(world.user(), host=f"127.0.0.1:{free_port()},nowhere.invalid")

    with pytest.raises(UnavailableError, match="refused"):
        ENGINE.verify(user)


def test_an_ipv6_address_needs_no_brackets(world: MongoWorld) -> None:
    with pytest.raises(UnavailableError, match=r"at ::1:\d+: no answer \(\[Errno"):
        ENGINE.verify(replace(world.user(), host="::1", port=free_port()))


def test_no_thread_of_the_driver_survives(world: MongoWorld) -> None:
    user, before = world.user(), set(threading.enumerate())

    ENGINE.verify(user)

    until(lambda: not any(each.name.startswith("pymongo") for each in set(threading.enumerate()) - before))


# As https://www.mongodb.com/docs/manual/reference/resource-document/ has them. SecantusDB tells no privileges.
RESOURCES = [
    ({"db": "shop", "collection": "orders"}, "shop.orders"),
    ({"db": "shop", "collection": ""}, "shop"),
    ({"db": "", "collection": "orders"}, "*.orders"),
    ({"db": "", "collection": ""}, "*"),
    ({"cluster": True}, "cluster True"),
    ({"anyResource": True}, "anyResource True"),
    ({"db": "shop", "system_buckets": "heat"}, "db shop, system_buckets heat"),
]


@pytest.mark.parametrize(("resource", "words"), RESOURCES, ids=[words for _, words in RESOURCES])
def test_each_kind_of_resource_has_its_own_words(resource: Mapping[str, object], words: str) -> None:
    assert mongo._resource(resource) == words


def test_a_user_who_exists_and_is_not_proven_is_left_alone(world: MongoWorld, admin: Credentials) -> None:
    app = world.user_of("shop", READ_SHOP)
    other = world.user_of("shop", READ_LOGS, name=f"{app.username}_clone")

    with pytest.raises(InvalidSecretError, match="exists already"):
        ENGINE.clone_user(admin, app, next_of(other), known=False)

    assert world.logs_in(other)
