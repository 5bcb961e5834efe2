"""What people are told: true, complete, and short enough for SNS."""

import dataclasses
import json
from typing import Any

import pytest

from rotation.alert import alert
from rotation.model import Json, Request
from rotation.outcome import NEEDS_A_PERSON, NONE, ROLLED_BACK, ROTATED, UNKNOWN, UNTOUCHED, Failure, Finding
from tests.unit.test_model import EVENT

REQUEST = dataclasses.replace(Request.of(EVENT), previous=EVENT["Request"]["Previous"] | {"Told": True})
FAILURE = Failure("SetSecret", "LoginRefusedError", "the service refused the log-in")
ROTATE = f"aws secretsmanager rotate-secret --secret-id {REQUEST.secret_id}"
ACCOUNT = "(user 'app' at db.example.com:5432)"

FINDINGS = {
    "recovered": Finding(ROTATED, account=ACCOUNT),
    "untouched": Finding(UNTOUCHED, account=ACCOUNT),
    "rolled back": Finding(ROLLED_BACK, account=ACCOUNT),
    "another works": Finding(
        NEEDS_A_PERSON, "AWSPENDING", "AWSCURRENT is refused", ACCOUNT, current_version="v1", working_version="v2"
    ),
    "none works": Finding(NEEDS_A_PERSON, NONE, "all are refused", ACCOUNT),
    "could not look": Finding(NEEDS_A_PERSON, UNKNOWN, "AWSCURRENT could not be tried: no answer"),
}


@pytest.fixture(autouse=True)
def console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_URL", "https://console.example/executions")


def made(finding: Finding, rolled_back: int = 0, **request: Any) -> Json:
    return alert(dataclasses.replace(REQUEST, **request), finding, FAILURE, rolled_back)


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=FINDINGS)
def test_every_message_has_what_a_person_at_night_needs(finding: Finding) -> None:
    message = made(finding)

    assert message["Key"] == f"{finding.outcome}/{finding.working}"
    for needed in (
        "prod/orders/database",
        REQUEST.secret_id,
        f"{REQUEST.token}, attempt 2",
        "LoginRefusedError in SetSecret: the service refused the log-in",
        f"Works now:     {finding.working}",
        f"https://console.example/executions/{REQUEST.execution}",
        message["Body"]["alertId"],
        message["Body"]["applicationsAffected"],
        message["Body"]["whatHappensNext"],
    ):
        assert needed in message["Email"]
    assert finding.why in message["Email"]
    assert finding.account in message["Email"]


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=FINDINGS)
def test_the_json_says_the_same_as_the_mail(finding: Finding) -> None:
    body = made(finding)["Body"]

    assert json.loads(json.dumps(body)) == body
    assert (body["outcome"], body["workingCredential"]) == (finding.outcome, finding.working)
    assert (body["step"], body["error"], body["reason"]) == (FAILURE.step, FAILURE.error, FAILURE.reason)
    assert (body["secret"], body["secretArn"]) == (REQUEST.secret_name, REQUEST.secret_id)
    assert (body["versionId"], body["attempt"]) == (REQUEST.token, REQUEST.attempt)
    assert body["executionArn"] == REQUEST.execution
    assert body["nextCommand"].split("\n")[0] in made(finding)["Email"]


@pytest.mark.parametrize(
    ("name", "severity", "headline", "applications"),
    [
        ("recovered", "info", "Recovered, the secret is rotated", "no, AWSCURRENT is the new value"),
        ("untouched", "warning", "Rotation failed, nothing changed", "no, AWSCURRENT was never changed and logs in"),
        (
            "rolled back",
            "warning",
            "Rotation failed, the old credential is restored",
            "new log-ins may have been refused for a",
        ),
        ("another works", "critical", "ACTION NEEDED, AWSCURRENT does not log in but AWSPENDING does", "yes, "),
        ("none works", "critical", "ACTION NEEDED, AWSCURRENT does not log in", "yes, whoever reads AWSCURRENT"),
        ("could not look", "critical", "CHECK NEEDED, AWSCURRENT could not be tried", "unknown"),
    ],
)
def test_the_headline_says_what_is_true_and_whether_applications_notice(
    name: str, severity: str, headline: str, applications: str
) -> None:
    message = made(FINDINGS[name])

    assert message["Subject"].startswith(headline[:99])
    assert message["Email"].startswith(f"{headline}.\n")
    assert message["Body"]["severity"] == severity
    assert message["Body"]["applicationsAffected"].startswith(applications)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("recovered", ""),
        ("untouched", ROTATE),
        ("rolled back", ROTATE),
        (
            "none works",
            f"aws secretsmanager get-secret-value --secret-id {REQUEST.secret_id} --version-stage AWSCURRENT",
        ),
        ("could not look", ROTATE),
        (
            "another works",
            f"aws secretsmanager update-secret-version-stage --secret-id {REQUEST.secret_id} "
            "--version-stage AWSCURRENT --move-to-version-id v2 --remove-from-version-id v1",
        ),
    ],
)
def test_the_next_command_is_the_one_to_type(name: str, command: str) -> None:
    message = made(FINDINGS[name])

    assert message["Body"]["nextCommand"] == command
    assert f"\n    {command}\n" in message["Email"] or not command


def test_the_third_attempt_that_was_put_right_is_the_last_and_says_how_to_start_afresh() -> None:
    held = dataclasses.replace(FINDINGS["rolled back"], held=True)
    second, third = made(FINDINGS["rolled back"], 2), made(held, 3)

    by_tool = (
        f"rotatorctl unstick --stack secret-rotation {REQUEST.secret_id} && "
        f"rotatorctl rotate --stack secret-rotation {REQUEST.secret_id}"
    )
    by_hand = (
        f"aws secretsmanager update-secret-version-stage --secret-id {REQUEST.secret_id} "
        f"--version-stage AWSPENDING --remove-from-version-id {REQUEST.token}\n{ROTATE}"
    )
    assert second["Body"]["whatHappensNext"].startswith("Secrets Manager retries by itself")
    assert "so far 2" in second["Body"]["whatHappensNext"]
    assert third["Body"]["whatHappensNext"].startswith("nothing by itself: 3 attempts")
    assert third["Body"]["nextCommand"] == by_tool
    for message in (second, third):
        told = message["Email"].index(by_tool)
        assert message["Email"].index("    " + by_hand.replace("\n", "\n    ")) > told


def test_what_takes_awspending_off_names_the_stack_that_it_is_asked_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "rotation-2")

    message = made(dataclasses.replace(FINDINGS["untouched"], abandoned=True))

    assert f"    rotatorctl unstick --stack rotation-2 {REQUEST.secret_id} && " in message["Email"]


def test_a_value_that_was_given_up_is_told_so() -> None:
    message = made(dataclasses.replace(FINDINGS["untouched"], pending_removed=True), 3)

    assert "it was given up" in message["Body"]["whatHappensNext"]
    assert message["Body"]["nextCommand"] == ROTATE
    assert "it was given up" in message["Email"]


def test_a_message_of_mode_rollback_that_finds_all_well_names_no_failure() -> None:
    message = alert(REQUEST, FINDINGS["recovered"], Failure(), 0)

    assert "none in none" not in message["Email"]
    assert "Failure:       none now; an earlier attempt had failed" in message["Email"]


def test_a_success_after_no_failure_is_no_recovery() -> None:
    message = alert(Request.of(EVENT), FINDINGS["recovered"], Failure(), 0)

    assert message["Subject"] == "Rotated: prod/orders/database"
    assert "Failure:       none\n" in message["Email"]


@pytest.mark.parametrize("name", ["n" * 300, "größe/🦊", "line\nbreak", "a"])
@pytest.mark.parametrize("finding", FINDINGS.values(), ids=FINDINGS)
def test_a_subject_is_what_sns_takes(finding: Finding, name: str) -> None:
    secret_id = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-a1B2c3"

    subject = made(finding, secret_id=secret_id)["Subject"]

    assert 0 < len(subject) < 100
    assert all(" " <= character <= "~" for character in subject)


def test_a_subject_keeps_what_fits_and_shows_what_sns_does_not_take() -> None:
    headline = "Rotation failed, nothing changed: "
    subjects = {
        name: made(
            FINDINGS["untouched"], secret_id=f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-a1B2c3"
        )["Subject"]
        for name in ("größe ~", "n" * (99 - len(headline)), "n" * (100 - len(headline)))
    }

    assert list(subjects.values()) == [
        f"{headline}gr??e ~",
        headline + "n" * (99 - len(headline)),
        headline + "n" * (96 - len(headline)) + "...",
    ]


def test_a_check_promises_no_attempt_where_nobody_comes_back() -> None:
    finding = Finding(NEEDS_A_PERSON, UNKNOWN, "AWSCURRENT could not be tried: no answer", abandoned=True)

    message = made(finding)

    assert message["Body"]["whatHappensNext"].startswith("AWSPENDING was taken off this version")
    assert f"\n\nWhen that is mended:\n\n    {ROTATE}\n" in message["Email"]


def test_where_nobody_comes_back_no_next_attempt_is_said_to_mend_anything() -> None:
    works = dataclasses.replace(FINDINGS["another works"], abandoned=True)

    assert made(works)["Body"]["whatHappensNext"] == "nothing by itself"


@pytest.mark.parametrize(
    ("finding", "section"),
    [
        ("recovered", "rotated"),
        ("untouched", "untouched"),
        ("rolled back", "rolled-back"),
        ("another works", "needs-a-person-action"),
        ("none works", "needs-a-person-action"),
        ("could not look", "needs-a-person-check"),
    ],
)
@pytest.mark.parametrize(
    ("url", "page"), [("", "docs/failures.md"), ("https://wiki.example/x", "https://wiki.example/x")]
)
def test_a_message_links_to_its_section_where_the_team_reads_it(
    monkeypatch: pytest.MonkeyPatch, finding: str, section: str, url: str, page: str
) -> None:
    monkeypatch.setenv("RUNBOOK_URL", url)

    message = made(FINDINGS[finding])

    assert message["Body"]["runbook"] == f"{page}#{section}"
    assert f"\nRunbook:   {page}#{section}\nExecution: " in message["Email"]


@pytest.mark.parametrize(
    ("step", "attempt", "severity", "affected"),
    [
        ("CreateSecret", 1, "warning", "no, nothing had been changed"),
        ("CreateSecret", 2, "critical", "unknown"),
        ("SetSecret", 1, "critical", "unknown"),
    ],
)
def test_a_check_is_critical_as_soon_as_something_may_have_changed(
    step: str, attempt: int, severity: str, affected: str
) -> None:
    request = dataclasses.replace(REQUEST, attempt=attempt)

    body = alert(request, FINDINGS["could not look"], dataclasses.replace(FAILURE, step=step), 0)["Body"]

    assert (body["severity"], body["applicationsAffected"]) == (severity, affected)


def test_an_alert_id_is_new_for_every_attempt_and_outcome_and_the_same_for_the_same() -> None:
    ids = {
        made(finding, attempt=attempt)["Body"]["alertId"]
        for finding in FINDINGS.values()
        for attempt in (1, 2)
        for _ in range(2)
    }

    assert len(ids) == 2 * len(FINDINGS)
    assert all(" " not in each for each in ids)


def test_a_very_long_reason_is_cut() -> None:
    assert len(Failure("SetSecret", "KeyError", "x" * 100_000).reason) == 1_000


def test_a_name_as_long_as_a_secret_leaves_a_message_that_sns_takes() -> None:
    account = f"(user {chr(1) * 60_000!r} at db.example.com:5432)"

    message = made(Finding(NEEDS_A_PERSON, NONE, f"refused: {account}", account))

    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    assert len(json.dumps({"default": json.dumps(message["Body"]), "email": message["Email"]})) < 262_144
