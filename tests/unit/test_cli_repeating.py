"""The commands that a result names have the stack, Region and profile that it was asked for."""

import json
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner

from rotatorctl import cli, cli_onboarding, command
from rotatorctl.repeating import repeating, with_options
from rotatorctl.result import Problem, Result, Table

GIVEN = {"stack": "b", "region": "eu-west-1", "profile": "my own"}
OURS = "--stack b --region eu-west-1 --profile 'my own'"
AWS = "--region eu-west-1 --profile 'my own'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rotatorctl onboard app", f"rotatorctl onboard {OURS} app"),
        ("`rotatorctl status` lists them", f"`rotatorctl status {OURS}` lists them"),
        (
            "`rotatorctl rotate a` joins it, `rotatorctl unstick a` gives up",
            f"`rotatorctl rotate {OURS} a` joins it, `rotatorctl unstick {OURS} a` gives up",
        ),
        (
            "aws kms cancel-key-deletion --key-id k && aws kms enable-key --key-id k",
            f"aws kms cancel-key-deletion {AWS} --key-id k && aws kms enable-key {AWS} --key-id k",
        ),
        (
            "afresh: aws secretsmanager rotate-secret --secret-id s; then: rotatorctl rotate s",
            f"afresh: aws secretsmanager rotate-secret {AWS} --secret-id s; then: rotatorctl rotate {OURS} s",
        ),
        ("log in by `aws sso login`, and repeat", f"log in by `aws sso login {AWS}`, and repeat"),
        ("aws lambda invoke --function-name f out", f"aws lambda invoke {AWS} --function-name f out"),
        (
            "aws cloudformation get-template --stack-name made",
            f"aws cloudformation get-template {AWS} --stack-name made",
        ),
        (
            "aws secretsmanager remove-regions-from-replication --remove-replica-regions x",
            f"aws secretsmanager remove-regions-from-replication {AWS} --remove-replica-regions x",
        ),
        ("sam build && sam deploy", "sam build && sam deploy --stack-name b " + AWS),
    ],
)
def test_each_command_in_a_text_has_what_was_given(text: str, told: str) -> None:
    assert with_options(text, GIVEN) == told
    assert with_options(told, GIVEN) == told


def test_an_option_that_stands_there_is_not_overruled() -> None:
    assert with_options("rotatorctl doctor a --region us-east-1; rotatorctl status", {"region": "eu-west-1"}) == (
        "rotatorctl doctor a --region us-east-1; rotatorctl status --region eu-west-1"
    )
    assert with_options("aws iam get-role --region=us-east-1", {"region": "eu-west-1"}).count("--region") == 1


@pytest.mark.parametrize(
    "text",
    [
        "run it from a checkout: `make setup` there, then `bin/rotatorctl local up`",
        "rotatorctl local up",
        "an installed rotatorctl does not bring it",
        "the aws platform team owns it",
        "https://docs.aws.amazon.com/secretsmanager and /opt/aws dist/run-it",
        "log in by `aws configure`",
    ],
)
def test_what_is_no_command_for_a_stack_stays_as_it_is(text: str) -> None:
    assert with_options(text, GIVEN) == text


def test_a_value_is_quoted_for_a_shell_and_is_no_pattern() -> None:
    assert with_options("rotatorctl status", {"profile": r"a\1;b"}) == r"rotatorctl status --profile 'a\1;b'"


def test_without_options_nothing_is_put_in() -> None:
    assert with_options("rotatorctl status; aws kms enable-key", {}) == "rotatorctl status; aws kms enable-key"


def test_commands_are_completed_where_a_result_names_them_and_facts_stay() -> None:
    fact = "aws iam get-role"
    finding = {"what": fact, "command": "sam deploy"}
    made = Result(
        "doctor",
        {"findings": [finding], "left": ["rotatorctl status"], "tags": {"made": fact}},
        ("    $ sam deploy", Table(("a",), ((fact,),))),
        (Problem("A", fact, "rotatorctl status"),),
    )

    told = repeating(made, {"region": "r"})

    completed = {"what": fact, "command": "sam deploy --region r"}
    assert told.data == {
        "findings": [completed],
        "left": ["rotatorctl status --region r"],
        "tags": {"made": fact},
    }
    assert told.shown == ("    $ sam deploy --region r", Table(("a",), ((fact,),)))
    assert told.problems == (Problem("A", fact, "rotatorctl status --region r"),)


def test_every_command_that_asks_aws_is_known() -> None:
    names = [name for name in cli.cli.commands if name != "local"]

    assert [with_options(f"rotatorctl {name}", {"stack": "b"}) for name in names] == [
        f"rotatorctl {name} --stack b" for name in names
    ]


@pytest.mark.parametrize("output", ["text", "json"])
def test_what_was_typed_is_repeated_and_what_the_environment_says_is_left_to_it(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Result("status", problems=(Problem("A", "b", "rotatorctl onboard app"),))
    monkeypatch.setattr(cli, "list_secrets", lambda _: result)
    monkeypatch.setattr(command, "_find", lambda *_: None)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    typed = CliRunner().invoke(cli.cli, ["status", "--output", output, "--stack", "b"])
    untyped = CliRunner().invoke(cli.cli, ["status", "--output", output])

    assert next_step(typed.output, output) == "rotatorctl onboard --stack b app"
    assert next_step(untyped.output, output) == "rotatorctl onboard app"


@pytest.mark.parametrize(
    ("name", "where", "finds"),
    [("unstick", cli, "stuck"), ("onboard", cli_onboarding, "prepared"), ("offboard", cli_onboarding, "leaving")],
)
def test_a_plan_that_is_asked_for_names_its_commands_with_what_was_typed(
    name: str, where: ModuleType, finds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = "later: rotatorctl rotate app"
    found = SimpleNamespace(plan=plan, text=plan, problems=(), changes_nothing=False, changes_something=True)
    monkeypatch.setattr(where, finds, lambda *_: found)
    monkeypatch.setattr(command, "_find", lambda *_: None)

    asked = CliRunner().invoke(cli.cli, [name, "app", "--stack", "b", "--profile", "my own"], input="n\n")

    assert "later: rotatorctl rotate --stack b --profile 'my own' app\nGo on? [y/N]" in asked.output
    assert asked.exit_code == 1


def next_step(told: str, output: str) -> str:
    """As either form of the output has it."""
    if output == "json":
        return str(json.loads(told)["problems"][0]["nextStep"])
    return told.partition("Next: ")[2].strip()
