"""What people are told: short and plain where SNS asks for it, JSON that parses, and without a value of the secret."""

import json
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation import errors
from rotation.model import STEPS, Credentials, Request
from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED, Failure, Finding
from rotation.redaction import conceal, forget, redacted
from rotation.report import previous_of, verdict, words
from tests.properties.inputs import NAMES, PASSWORDS, leaked, texts
from tests.unit.test_model import EVENT
from tests.unit.test_redaction import PROGRAMS

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
LARGEST_MESSAGE = 262_144

# As a name of 60,000 characters in a secret is told.
LONG = st.sampled_from((repr("\x01" * 60_000), "ö" * 60_000))
WORDS = st.one_of(texts(), LONG)
OUTCOMES = st.sampled_from((ROTATED, UNTOUCHED, ROLLED_BACK, NEEDS_A_PERSON))
FINDINGS = st.builds(Finding, OUTCOMES, texts(3), WORDS, WORDS, st.booleans(), st.booleans(), texts(2), texts(2))
ERRORS = st.one_of(st.sampled_from([name for name in vars(errors) if name.endswith("Error")]), texts(3))
FAILURES = st.builds(Failure, st.one_of(st.sampled_from(STEPS), texts(3)), ERRORS, WORDS)
SECRET_NAMES = st.one_of(texts(), texts(30), st.text(min_size=80, max_size=512))


@pytest.fixture(autouse=True, scope="module")
def console() -> Iterator[None]:
    with patch.dict("os.environ", {"CONSOLE_URL": "https://console.example/executions"}):
        yield
    forget()


@settings(max_examples=300)
@given(FINDINGS, FAILURES, SECRET_NAMES, st.integers(0, 3))
def test_every_alert_is_one_that_sns_and_a_program_take(
    finding: Finding, failure: Failure, name: str, rolled_back: int
) -> None:
    arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-a1B2c3"
    request = Request.of(EVENT | {"Request": EVENT["Request"] | {"SecretId": arn}})

    found = verdict(request, finding, failure)

    subject, message = found["Alert"]["Subject"], found["Alert"]
    assert len(subject) < 100
    assert all(" " <= each <= "~" for each in subject)
    published = json.dumps({"default": json.dumps(message["Body"]), "email": message["Email"]})
    assert json.loads(json.loads(published)["default"]) == message["Body"]
    assert len(published.encode()) < LARGEST_MESSAGE
    assert "\n" not in subject
    assert words(found["Report"])
    assert previous_of(found, delivered=False)["Alert"] == message


@settings(max_examples=200)
@given(PASSWORDS, st.sampled_from([*PROGRAMS]), texts(3), texts(3))
def test_a_value_is_taken_out_of_a_text_however_it_was_quoted(
    password: str, program: str, before: str, after: str
) -> None:
    forget()
    conceal(password)

    said = redacted(before + PROGRAMS[program](password) + after)

    assert leaked(password, said) == []
    assert said.startswith(before)
    assert said.endswith(after)


@settings(max_examples=200)
@given(PASSWORDS, st.one_of(NAMES, st.none()), st.booleans())
def test_credentials_are_told_without_the_password_even_where_it_is_the_name_or_a_part_of_it(
    password: str, name: str | None, doubled: bool
) -> None:
    forget()
    username = name or (f"{password}_clone" if doubled else password)

    told = str(Credentials(username, password, "db.example", 5432))

    assert leaked(password, told) == []
    assert told.endswith(" at db.example:5432")
