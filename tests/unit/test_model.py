"""The request that a state hands to its function, and credentials."""

import copy
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest

from rotation.errors import InvalidEventError
from rotation.model import Credentials, Request
from rotation.redaction import forget, redacted
from rotation.rollback import failure_of

EVENT: dict[str, Any] = {
    "Request": {
        "Mode": "Rotate",
        "SecretId": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/orders/database-a1B2c3",
        "ClientRequestToken": "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11",
        "Attempt": 2,
        "Previous": {"Told": False, "RolledBack": 0},
        "Execution": "arn:aws:states:us-east-1:123456789012:execution:rotation:x",
    },
    "Completed": {"State": "CreateSecret", "CurrentVersionId": "v1"},
    "Failure": {"Error": "States.Timeout", "Cause": ""},
    "RetryCount": 3,
    "RotationToken": "5d1c0e7a-example-rotation-token-8f1e-2b7c9a40d613",
}
ORDERS = Credentials("app", "Zk3-vQ9_xT7", "db.example.com", 5432, "orders")


def test_a_request_is_what_the_state_machine_sent() -> None:
    request = Request.of(EVENT)

    assert (request.mode, request.attempt, request.secret_name) == ("Rotate", 2, "prod/orders/database")
    assert (request.secret_id, request.token) == (EVENT["Request"]["SecretId"], EVENT["Request"]["ClientRequestToken"])
    assert (request.completed, request.current_version) == ("CreateSecret", "v1")
    assert (request.failure, request.retry_count) == (EVENT["Failure"], 3)
    assert request.rotation_token == EVENT["RotationToken"]
    assert request.execution == EVENT["Request"]["Execution"]


def test_what_only_some_states_send_may_be_absent() -> None:
    request = Request.of({"Request": EVENT["Request"], "Completed": EVENT["Completed"]})

    assert (request.failure, request.retry_count, request.rotation_token) == ({}, 0, "")
    assert (request.started, request.kind) == ("", {"Engine": "unknown", "Strategy": "unknown"})


def test_a_request_knows_when_its_execution_started_and_what_the_secret_is() -> None:
    kind = {"Engine": "postgres", "Strategy": "single user"}
    event = {"Request": EVENT["Request"] | {"Started": "2026-11-25"}, "Completed": EVENT["Completed"] | kind}

    assert (Request.of(event).started, Request.of(event).kind) == ("2026-11-25", kind)


@pytest.mark.parametrize(
    ("part", "key"),
    [("Request", key) for key in EVENT["Request"]] + [("Completed", key) for key in EVENT["Completed"]],
)
def test_a_key_that_is_missing_is_named(part: str, key: str) -> None:
    event = copy.deepcopy(EVENT)
    del event[part][key]

    with pytest.raises(InvalidEventError, match=f"'{key}'"):
        Request.of(event)


@pytest.mark.parametrize("event", [{}, {"Request": None, "Completed": {}}, {"Request": []}, {"Step": "createSecret"}])
def test_an_event_of_something_else_is_refused(event: Any) -> None:
    with pytest.raises(InvalidEventError, match="not one of the rotation state machine's"):
        Request.of(event)


@pytest.mark.parametrize("value", [None, ["a", "b"], 1.5])
@pytest.mark.parametrize(
    "path",
    [
        *([part, key] for part in ("Request", "Completed", "Failure") for key in EVENT[part]),
        *(["Request", "Previous", key] for key in ("Told", "RolledBack", "Alert")),
        *([key] for key in EVENT),
    ],
    ids=".".join,
)
def test_a_key_of_another_kind_is_named(path: list[str], value: Any) -> None:
    event = copy.deepcopy(EVENT)
    inner = reduce(dict.__getitem__, path[:-1], event)
    inner[path[-1]] = value

    with pytest.raises(InvalidEventError, match=f"it needs the key '{path[-1]}'$"):
        Request.of(event)


def test_a_rollback_of_no_failure_is_refused_by_name() -> None:
    request = Request.of({"Request": EVENT["Request"], "Completed": EVENT["Completed"]})

    with pytest.raises(InvalidEventError, match="'Failure'"):
        failure_of(request)


def test_a_request_never_shows_its_rotation_token() -> None:
    assert EVENT["RotationToken"] not in f"{Request.of(EVENT)!r} {Request.of(EVENT)}"


def test_credentials_never_show_their_password() -> None:
    assert ORDERS.password not in f"{ORDERS!r} {ORDERS}"
    assert str(ORDERS) == "user 'app' at db.example.com:5432"


def test_credentials_never_show_a_name_that_is_the_password_or_holds_it() -> None:
    for name in (ORDERS.password, f"{ORDERS.password}_clone"):
        assert ORDERS.password not in str(replace(ORDERS, username=name))


def test_a_password_is_concealed_as_soon_as_it_is_known() -> None:
    forget()
    replace(ORDERS, password="another secret")

    assert redacted("it is another secret") == "it is [redacted]"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"password": "other"}, True),
        ({"dbname": "other"}, True),
        ({"ssl": False}, True),
        ({"username": "other"}, False),
        ({"host": "other"}, False),
        ({"port": 5433}, False),
    ],
)
def test_an_account_is_a_user_of_a_server(change: dict[str, Any], same: bool) -> None:
    assert ORDERS.same_account(replace(ORDERS, **change)) is same
