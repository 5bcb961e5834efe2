"""How rotatorctl prints, complains and exits."""

import io
import json
import re
import sys
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError
from click.testing import CliRunner
from rich.console import Console

from rotation.executions import Execution
from rotation.redaction import conceal
from rotatorctl import cli, command
from rotatorctl.aws import AwsError, explained
from rotatorctl.commands import history
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Name, Run
from rotatorctl.progress import watched
from rotatorctl.render import show
from rotatorctl.result import Problem, Result, Table
from rotatorctl.stuck import Stuck
from tests.unit.examined import GOOD

PASSWORD = "Zk3-vQ9_xT7.bN2"


def test_json_is_one_envelope_with_problems_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    made = Result("history", {"at": datetime(2026, 3, 1, tzinfo=UTC)}, ("shown",), (Problem("A", "b", "c", "d"),))

    show(made, "json")

    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "command": "history",
        "exitCode": 1,
        "data": {"at": "2026-03-01T00:00:00+00:00"},
        "problems": [{"code": "A", "message": "b", "nextStep": "c", "secret": "d"}],
    }


def test_text_keeps_the_result_apart_from_the_problems(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("secret", "execution"), (("a[b]", "https://console.example/" + "x" * 300),))

    show(Result("status", shown=("arn:1:secret:[x]", table), problems=(Problem("A", "b", "c", "d"),)), "text")

    captured = capsys.readouterr()
    lines = [line.rstrip() for line in captured.out.splitlines()]
    assert [lines[0], lines[2]] == ["arn:1:secret:[x]", "a[b]    https://console.example/" + "x" * 300]
    assert captured.err == "A: d: b\nNext: c\n"


def test_a_table_that_fits_is_no_wider_than_a_terminal_and_leaves_nothing_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = '{"Outcome": "needs a person", "Step": "FinishSecret", "Error": "Lambda.TooManyRequestsException", '
    execution = Execution("arn", "name", "FAILED", {}, "RollbackFailedError", verdict + '"Reason": ""}')
    at = datetime(2026, 3, 1, tzinfo=UTC)
    rows = tuple(history._row(Run(execution, Name(kind, "v", 12), at, at)) for kind in ("rotation", "rollback"))

    show(Result("history", shown=(Table(history._COLUMNS, rows, fits=True),)), "text")

    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert all(word in out for word in (*history._COLUMNS, "rotation 12", "needs a person", "FinishSecret: "))
    assert "Lambda.TooManyRequestsException" in re.sub(r"\s", "", out)


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_value_that_was_read_is_never_printed(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    conceal(PASSWORD)
    table = Table(("a",), ((PASSWORD,),))

    show(Result("status", {"a": PASSWORD}, (PASSWORD, table), (Problem("A", PASSWORD, PASSWORD),)), output)

    captured = capsys.readouterr()
    assert PASSWORD not in captured.out + captured.err
    assert "[redacted]" in captured.out


@pytest.mark.parametrize("value", ["null", "secret", '"a"\n\\b'])
def test_a_value_that_was_read_changes_nothing_of_the_json_but_texts(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conceal(value)

    show(Result("onboard", {"secret": f"a {value}", "rotation": None, "left": (value,)}), "json")

    data = json.loads(capsys.readouterr().out)["data"]
    assert data == {"secret": "a [redacted]", "rotation": None, "left": ["[redacted]"]}


def test_a_result_is_fine_only_without_a_problem() -> None:
    assert Result("status").exit_code == 0
    assert Result("status", fine=False).exit_code == 1
    assert Result("status", problems=(Problem("A", "b", "c"),)).exit_code == 1


def answered(code: str) -> AwsError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeSecret")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (answered("AccessDeniedException"), "AccessDeniedError"),
        (answered("ExpiredTokenException"), "CredentialsError"),
        (answered("InternalServiceError"), "AwsError"),
        (exceptions.NoCredentialsError(), "CredentialsError"),
        (exceptions.NoRegionError(), "RegionError"),
        (exceptions.InvalidRegionError(region_name="eu west"), "RegionError"),
        (exceptions.ProfileNotFound(profile="x"), "CredentialsError"),
        (exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "UnavailableError"),
        (exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "UnavailableError"),
        (exceptions.DataNotFoundError(data_path="x"), "AwsError"),
    ],
)
def test_an_error_of_aws_is_a_sentence_with_a_next_step(error: AwsError, code: str) -> None:
    problem = explained(error)

    assert problem.code == code
    assert problem.message
    assert problem.next_step


@pytest.mark.parametrize(
    "error",
    [
        ResponseParserError("Unable to parse response: <!DOCTYPE HTML>"),
        exceptions.ClientError({"Error": {"Code": "501", "Message": " <!DOCTYPE HTML>"}}, "DescribeSecret"),
    ],
)
def test_a_page_of_the_web_is_no_answer_of_aws_and_is_not_shown(error: AwsError) -> None:
    problem = explained(error)

    assert (problem.code, problem.message) == (
        "UnavailableError",
        "what answers at the address of a service is not AWS",
    )
    assert "AWS_ENDPOINT_URL" in problem.next_step


@pytest.mark.parametrize(
    ("code", "status", "passes"),
    [
        ("ThrottlingException", 400, True),
        ("TooManyRequestsException", 429, True),
        ("InternalServiceError", 500, True),
        ("LimitExceededException", 400, False),
        ("InvalidParameterException", 400, False),
    ],
)
def test_only_what_passes_is_to_be_repeated_in_a_minute(code: str, status: int, passes: bool) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}

    problem = explained(exceptions.ClientError(answer, "DescribeSecret"))

    assert problem.message == f"DescribeSecret: {code}: no"
    assert ("in a minute" in problem.next_step) == passes


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("address", ["localhost:4566", "http://", "http://[x", "http://localhost:x"])
def test_an_address_of_aws_that_is_none_is_told_with_how_to_write_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    done = CliRunner().invoke(cli.cli, ["status", "--region", "eu-central-1"])

    assert done.exit_code == 1
    assert done.output.startswith("UnavailableError: cloudformation has no address: ")
    assert "Next: give AWS_ENDPOINT_URL" in done.output


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.cli, arguments, env={"AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "nobody"})
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rotate"], "Name the secrets, or choose them by --tag"),
        (["rotate", "app", "--tag", "team=a"], "Name the secrets, or choose them by --tag"),
        (["rotate", "--tag", "team"], "'team' is not KEY=VALUE"),
        (["rotate", "app", "--at-once", "0"], "--at-once"),
        (["history"], "SECRET"),
        (["dance"], "No such command 'dance'"),
        (["status", "--output", "xml"], "--output"),
        (["local", "drill", "--step", "Dance"], "--step"),
        (["local", "try", "/nowhere.py"], "/nowhere.py"),
    ],
)
def test_misuse_is_told_before_aws_is_asked_and_exits_with_2(arguments: list[str], words: str) -> None:
    code, output = run(*arguments)

    assert code == 2
    assert words in output


def test_without_credentials_there_is_a_sentence_and_no_traceback() -> None:
    code, output = run("status")

    assert code == 1
    assert output.startswith("CredentialsError: ")
    assert "Next: " in output


def test_debug_shows_where_an_error_comes_from() -> None:
    done = CliRunner().invoke(cli.cli, ["status", "--debug"], env={"AWS_PROFILE": "nobody"})

    assert isinstance(done.exception, exceptions.ProfileNotFound)


def test_a_fault_of_the_tool_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Result:
        raise ZeroDivisionError("of the tool")

    monkeypatch.setattr(cli, "list_secrets", broken)
    monkeypatch.setattr(Stack, "find", lambda aws, name: None)
    monkeypatch.setattr(command, "Aws", lambda region, profile: None)

    code, output = run("status")

    assert code == 1
    assert output.startswith("DefectError: ZeroDivisionError: of the tool\nNext: repeat it with --debug")


def declined(_: object) -> Result:
    raise click.Abort


def test_a_question_that_is_declined_is_told_in_either_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "list_secrets", declined)
    monkeypatch.setattr(command, "_find", lambda *_: None)

    told = CliRunner().invoke(cli.cli, ["status", "--output", "json"])
    plain = CliRunner().invoke(cli.cli, ["status"])

    assert [problem["code"] for problem in json.loads(told.stdout)["problems"]] == ["DeclinedError"]
    assert (told.exit_code, plain.exit_code) == (1, 1)
    assert plain.output.startswith("DeclinedError: it was not told to go on, so nothing was changed\nNext: ")


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("", 2, "Go on? [y/N]:\nUsage: "),
        ("n\n", 1, "nothing was changed"),
        ("y\n", 0, "Go on?"),
    ],
)
def test_a_question_that_nobody_can_answer_is_misuse_and_says_how_not_to_be_asked(
    answer: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    monkeypatch.setattr(cli, "stuck", lambda *_: Stuck(Described(GOOD), "two", None))
    monkeypatch.setattr(cli, "unstick_secret", lambda *_: Result("unstick"))
    monkeypatch.setattr(command, "_find", lambda *_: None)

    with pytest.raises(SystemExit) as ended:
        cli.cli(["unstick", "app"])

    told = capsys.readouterr().err
    assert ended.value.code == code
    assert words in told
    assert ("there is no terminal to answer on; repeat it with --yes" in told) == (code == 2)
    assert "AWSPENDING is on version" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rotate"], "Name the secrets, or choose them by --tag"),
        (["onboard", "app", "--window", "3h"], "--window goes with --schedule"),
        (["unstick", "app"], "there is no terminal to answer on; repeat it with --yes"),
    ],
)
def test_misuse_that_a_command_finds_is_a_document_too(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(cli, "stuck", lambda *_: Stuck(Described(GOOD), "two", None))
    monkeypatch.setattr(command, "_find", lambda *_: None)

    with pytest.raises(SystemExit) as ended:
        cli.cli([*arguments, "--output", "json"])

    told = capsys.readouterr()
    document = json.loads(told.out)
    [problem] = document["problems"]
    assert (ended.value.code, document["exitCode"], problem["code"]) == (2, 2, "UsageError")
    assert words in problem["message"]
    assert problem["nextStep"] == f"`rotatorctl {arguments[0]} --help` shows how it is used"
    assert "Usage:" not in told.err


def test_progress_is_a_line_for_each_state() -> None:
    written = io.StringIO()

    with watched(Console(file=written)) as progress:
        progress(":secret:[1]", "SetSecret")
        progress("prod/orders[1]", "failed: Lambda.TooManyRequestsException")

    assert [line.partition(" s  ")[2] for line in written.getvalue().splitlines() if line] == [
        ":secret:[1]  SetSecret",
        "prod/orders[1]  failed: Lambda.TooManyRequestsException",
    ]
