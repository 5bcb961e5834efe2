"""What PostgreSQL stores in the place of a password, as other implementations of the same RFCs have it."""

import re
from base64 import b64decode

import pytest
from scramp import ScramMechanism

from rotation.engines.postgres_verifiers import password_verifier, prepared
from rotation.model import Credentials


def test_a_scram_verifier_is_the_one_that_another_implementation_makes_of_the_same_salt() -> None:
    verifier = password_verifier("scram-sha-256", Credentials("app", "pencil"), b"pencil")

    found = re.fullmatch(r"SCRAM-SHA-256\$4096:([^$]{24})\$([^:]{44}):(.{44})", verifier)
    assert found
    salt, stored_key, server_key = (b64decode(part) for part in found.groups())
    expected = ScramMechanism("SCRAM-SHA-256").make_auth_info("pencil", iteration_count=4096, salt=salt)
    assert len(salt) == 16
    assert (stored_key, server_key) == expected[1:3]


def test_an_md5_verifier_is_of_password_and_name() -> None:
    # md5sum of "pencilapp".
    assert password_verifier("md5", Credentials("app", "pencil"), b"pencil") == "md506d701b4dd9f7cbb00816251a451b978"


@pytest.mark.parametrize(
    ("password", "as_prepared"),
    [
        # The examples of RFC 4013.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # A space of another kind is a space, and so is the one without a width to PostgreSQL.
        ("a\u00a0b\u200bc", "a b c"),
        ("a\u3000", "a "),
        # What is prohibited, unassigned, of two directions, or nothing at all counts by its bytes.
        ("\u0007\u00aa", "\u0007\u00aa"),
        ("\ue000\u00aa", "\ue000\u00aa"),
        ("\u0221\u00aa", "\u0221\u00aa"),
        ("\u0627\u0031\u00aa", "\u0627\u0031\u00aa"),
        ("\u0627a\u0628\u00aa", "\u0627a\u0628\u00aa"),
        ("1\u0627\u00b2", "1\u0627\u00b2"),
        ("\u0627\u00b2", "\u0627\u00b2"),
        ("\u00ad", "\u00ad"),
        ("", ""),
        # From right to left from the first letter to the last.
        ("\u0627\u00b2\u0628", "\u06272\u0628"),
    ],
)
def test_a_password_is_prepared_as_postgresql_does_it(password: str, as_prepared: str) -> None:
    assert prepared(password) == as_prepared.encode()
