"""What a function loads before it is called."""

import pytest

from rotation import readiness, secret_store, tls


def test_getting_ready_reads_the_authorities_and_makes_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    secret_store._client.cache_clear()
    tls._trusting.cache_clear()

    readiness.get_ready()

    assert (secret_store._client.cache_info().currsize, tls._trusting.cache_info().currsize) == (1, 1)
    secret_store._client.cache_clear()


def test_that_no_server_can_be_trusted_is_left_for_the_step_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("PRIVATE_CA", "no certificate")

    readiness.get_ready()

    secret_store._client.cache_clear()
