"""Ctrl-C, wherever it comes, is answered by one result: nothing was changed, or what goes on."""

import json
import os
import signal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rotatorctl import cli, cli_onboarding, command
from rotatorctl.commands import local
from rotatorctl.deployed import Described
from rotatorctl.executions import Executions
from rotatorctl.following import STARTED, Begun, Following
from rotatorctl.progress import stopped_by_ctrl_c
from tests.unit.examined import GOOD, world


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def codes(ran: Result) -> list[str]:
    """Of the one document on standard output."""
    document = json.loads(ran.stdout)
    assert document["exitCode"] == ran.exit_code
    return [problem["code"] for problem in document["problems"]]


@pytest.fixture(autouse=True)
def _stopped_where_aws_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_find", lambda *_: None)
    for where, name in (
        (cli, "list_secrets"),
        (cli, "examine"),
        (cli, "list_executions"),
        (cli, "chosen"),
        (cli, "stuck"),
        (cli_onboarding, "prepared"),
        (cli_onboarding, "leaving"),
        (local, "_offline"),
    ):
        monkeypatch.setattr(where, name, interrupted)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["doctor", "app"],
        ["history", "app"],
        ["rotate", "--tag", "team=a"],
        ["unstick", "app"],
        ["onboard", "app", "--cluster", "orders"],
        ["offboard", "app"],
        ["local", "status"],
        ["local", "try", __file__],
    ],
)
def test_ctrl_c_before_a_change_says_in_either_form_that_nothing_was_changed(arguments: list[str]) -> None:
    told = CliRunner().invoke(cli.cli, [*arguments, "--output", "json"])
    plain = CliRunner().invoke(cli.cli, arguments)

    assert (told.exit_code, codes(told)) == (1, ["StoppedError"])
    assert plain.exit_code == 1
    assert plain.output == "StoppedError: you stopped it, and nothing was changed\nNext: repeat the command\n"


def test_ctrl_c_raises_nothing_once_something_may_be_changed_nor_afterwards() -> None:
    with stopped_by_ctrl_c() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(60)

    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("credentials")
def test_a_rotation_that_ctrl_c_meets_twice_while_it_is_asked_for_is_said_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begin(following: Following, _: str) -> Begun:
        os.kill(os.getpid(), signal.SIGINT)
        assert following.stop.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        return Begun(Described(GOOD), "two", 1, STARTED)

    monkeypatch.setattr(command, "_find", lambda *_: world().examined.stack)
    monkeypatch.setattr(Following, "begin", begin)
    monkeypatch.setattr(Following, "_begun_execution", lambda *_: None)
    monkeypatch.setattr(Executions, "find", lambda *_: None)

    told = CliRunner().invoke(cli.cli, ["rotate", "app", "two", "--output", "json"])

    assert codes(told) == ["StillRunningError", "NotAllRotatedError"]
    assert json.loads(told.stdout)["data"]["notBegun"] == ["two"]
