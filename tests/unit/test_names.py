"""Names: of a secret in its ARN, of an execution for a person who looks for it."""

import re

import pytest

from rotation.executions import attempt_name
from rotation.model import ROTATE, TEST, name_of

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
TOKEN = "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11"


@pytest.mark.parametrize(
    ("secret_id", "name"),
    [
        (f"{ARN}prod/orders/database-a1B2c3", "prod/orders/database"),
        (f"{ARN}my-secret-abcdef-a1B2c3", "my-secret-abcdef"),
        ("prod/orders", "prod/orders"),
        ("name-abcdef", "name-abcdef"),
    ],
)
def test_the_name_of_a_secret_is_its_arn_without_the_random_end(secret_id: str, name: str) -> None:
    assert name_of(secret_id) == name


def test_an_executions_name_shows_secret_token_and_attempt() -> None:
    assert re.fullmatch(
        f"prod-orders-databa-[0-9a-f]{{6}}-{TOKEN}-2",
        attempt_name(ROTATE, f"{ARN}prod/orders/database-a1B2c3", TOKEN, 2),
    )


@pytest.mark.parametrize(("name", "slug"), [("X-ray/x", "X-ray-x"), ("/_=.@", "_"), ("é/ü", "secret")])
def test_of_a_secrets_name_an_executions_shows_what_is_allowed(name: str, slug: str) -> None:
    assert attempt_name(ROTATE, f"{ARN}{name}-a1B2c3", TOKEN, 1).startswith(f"{slug}-")


SECRETS = [f"{ARN}{'n' * 505}-a1B2c3", f"{ARN}/_+=.@-a1B2c3", f"{ARN}é-a1B2c3", "", f"{ARN}" + "/" * 40 + "-a1B2c3"]
TOKENS = [TOKEN, "t" * 64, "x", "with spaces and ü " * 2, "a/b:c*" * 6, "-" * 36]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("secret_id", SECRETS)
def test_any_secret_and_token_give_a_name_that_step_functions_and_cloudwatch_take(secret_id: str, token: str) -> None:
    longest = attempt_name(TEST, secret_id, token, 9_999_999)
    rollback = attempt_name(ROTATE, secret_id, token, 9_999_999) + "-rollback"

    assert re.fullmatch("[0-9A-Za-z_-]{1,80}", longest)
    assert re.fullmatch("[0-9A-Za-z_-]{1,80}", rollback)


def test_no_two_of_mode_secret_token_and_attempt_share_a_name() -> None:
    names = {
        attempt_name(mode, secret_id, token, attempt)
        for mode in (ROTATE, TEST)
        for secret_id in SECRETS
        for token in TOKENS
        for attempt in (1, 2, 11)
    }

    assert len(names) == 2 * len(SECRETS) * len(TOKENS) * 3


def test_the_same_attempt_always_has_the_same_name() -> None:
    assert attempt_name(ROTATE, SECRETS[0], TOKEN, 1) == attempt_name(ROTATE, SECRETS[0], TOKEN, 1)
