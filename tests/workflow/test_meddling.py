"""People and other programs that write the secret while it is rotated: what logs in then, and what is said of it."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotation import engines
from tests.workflow.applications import ALTERNATING, SINGLE, Application, cases
from tests.workflow.machine import STATES, Handler
from tests.workflow.test_failures import break_state, failing

HAND_MADE = "Made-by-hand-1"

of_every_engine = pytest.mark.parametrize("case", cases(lambda _: True))
of_one_user = pytest.mark.parametrize("case", cases(lambda case: (case.kind, case.strategy) == ("postgres", SINGLE)))


def before(application: Application, state: str, happens: Callable[[], object]) -> None:
    """Once, right before this state's function; before RollBack after a FinishSecret that failed, if nothing else."""

    def wrap(handler: Handler) -> Handler:
        left = [happens]

        def called(event: Any, context: Any) -> Any:
            if left:
                left.pop()()
            return handler(event, context)

        return called

    if state == "RollBack":
        break_state(application, "FinishSecret", failing("KeyError", times=1))
    break_state(application, state, wrap)


def told(application: Application) -> dict[str, Any]:
    """The one message that came, if what it says of AWSCURRENT is what a client finds."""
    (message,) = application.machine.messages()
    body: dict[str, Any] = json.loads(message["Message"])
    assert body["outcome"] == application.outcomes()[-1]
    if body["workingCredential"] != "unknown":
        assert (body["workingCredential"] == "AWSCURRENT") == application.server.logs_in(application.credentials())
    return body


def set_on_the_server(application: Application, password: str) -> None:
    engine = engines.load(engines.ENGINES[application.case.kind])
    engine.set_password(application.admin, replace(application.first, password=password))


def written(application: Application, password: str = HAND_MADE) -> None:
    value = json.dumps(application.value("GOLDEN") | {"password": password})
    application.machine.secrets_manager.put_secret_value(SecretId=application.arn, SecretString=value)


def set_and_written(application: Application) -> None:
    set_on_the_server(application, HAND_MADE)
    written(application)


def written_again(application: Application) -> None:
    written(application, application.first.password)


def label(application: Application, stage: str, source: str | None, target: str | None = None) -> None:
    versions = {"RemoveFromVersionId": source, "MoveToVersionId": target}
    application.machine.secrets_manager.update_secret_version_stage(
        SecretId=application.arn, VersionStage=stage, **{key: each for key, each in versions.items() if each}
    )


def rotates_as_ever(application: Application) -> None:
    """A rotation goes through, silently, and what was current before is refused where a server holds one password."""
    before = application.credentials()
    assert application.rotate() == "RotationSucceeded"
    assert application.server.logs_in(application.credentials())
    assert application.server.logs_in(before) == application.case.overlap
    assert application.machine.messages() == []


BY_HAND: list[tuple[Callable[[Application], None], list[str]]] = [
    (set_and_written, ["untouched"] * 5),
    (written, ["needs a person", *["rolled back"] * 4]),
    (written_again, ["untouched"] * 2 + ["rolled back"] * 3),
]


@of_one_user
@pytest.mark.parametrize(
    ("by_hand", "state", "outcome"),
    [(how, *each) for how, outcomes in BY_HAND for each in zip(STATES, outcomes, strict=True)],
)
def test_a_value_that_is_written_by_hand_stays_current(
    application: Application, by_hand: Callable[[Application], None], state: str, outcome: str
) -> None:
    before(application, state, lambda: by_hand(application))

    assert application.rotate() == "RotationAbandoned"

    body = told(application)
    assert body["outcome"] == outcome
    assert "retries by itself" not in body["whatHappensNext"]
    password = application.first.password if by_hand is written_again else HAND_MADE
    assert application.credentials() == replace(application.first, password=password)
    if outcome == "needs a person":
        assert body["workingCredential"] == "AWSPREVIOUS"
        assert application.server.logs_in(application.credentials("AWSPREVIOUS"))
    if by_hand is written:
        rotates_as_ever(application)


def do_as_told(application: Application, command: str) -> None:
    """Of `aws secretsmanager update-secret-version-stage --name value ...`."""
    words = shlex.split(command)
    given = dict(zip(words[3::2], words[4::2], strict=True))
    label(application, given["--version-stage"], given["--remove-from-version-id"], given["--move-to-version-id"])


@of_every_engine
def test_a_hand_made_password_that_the_server_does_not_know_is_set_there_or_another_one_is_offered(
    application: Application,
) -> None:
    before(application, "FinishSecret", lambda: written(application))

    assert application.rotate() == "RotationAbandoned"

    body = told(application)
    assert application.credentials() == replace(application.first, password=HAND_MADE)
    if application.case.strategy == ALTERNATING:
        # Nobody logs in as that user: its password cannot be set by what the secret holds.
        assert body["workingCredential"] == "AWSPENDING"
        do_as_told(application, body["nextCommand"])
        rotates_as_ever(application)
    else:
        assert body["outcome"] == "rolled back"
        assert application.server.logs_in(application.credentials())
        assert not application.server.logs_in(application.first)


@of_one_user
def test_a_value_that_is_written_after_the_server_was_set_by_hand_is_tried(application: Application) -> None:
    """TestSecret was refused with the pending value because of it, not with this one."""
    before(application, "TestSecret", lambda: set_on_the_server(application, HAND_MADE))
    before(application, "RollBack", lambda: written(application))

    application.rotate()

    assert told(application)["outcome"] == "untouched"
    assert application.server.logs_in(application.credentials())
