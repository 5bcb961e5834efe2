"""New passwords."""

import base64
import string
import uuid

import pytest

from rotation.passwords import CHARACTER_SETS, new_key, new_password
from rotation.redaction import forget, redacted

ALPHABET = set(string.ascii_letters + string.digits + "-_.~")


@pytest.fixture(scope="module")
def sample() -> list[str]:
    made = [new_password(32, "url-safe") for _ in range(2_000)]
    forget()
    return made


def test_a_password_has_32_characters_that_need_no_quoting_anywhere(sample: list[str]) -> None:
    assert {len(password) for password in sample} == {32}
    assert set("".join(sample)) == ALPHABET


def test_a_password_has_every_kind_of_character_and_begins_with_a_letter(sample: list[str]) -> None:
    for password in sample:
        assert password[0] in string.ascii_letters
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.~"):
            assert set(password) & set(kind)


def test_passwords_never_repeat_and_no_character_is_preferred(sample: list[str]) -> None:
    count = {character: sum(password.count(character, 1) for password in sample) for character in ALPHABET}

    assert len(set(sample)) == len(sample)
    # 62,000 characters of 66 kinds: about 940 of each; the four punctuation marks come a little more often, since
    # every password has one. Six standard deviations are about 180.
    assert all(700 < each < 1_300 for each in count.values()), count


def test_a_password_is_concealed_as_soon_as_it_is_made() -> None:
    assert redacted(new_password(32, "url-safe")) == "[redacted]"
    forget()


@pytest.mark.parametrize("name", CHARACTER_SETS)
@pytest.mark.parametrize("length", [8, 128])
def test_a_password_has_the_length_and_the_characters_that_are_asked_for(name: str, length: int) -> None:
    for _ in range(50):
        password = new_password(length, name)
        assert len(password) == length
        assert set(password) <= set("".join(CHARACTER_SETS[name]))
        assert all(set(password) & set(kind) for kind in CHARACTER_SETS[name])
        # What AWS's own rotation functions leave out, because connection strings and shells trip over it.
        assert not set(password) & set("/@\"'\\: `")


def test_a_password_of_punctuation_has_every_mark_that_connection_strings_take() -> None:
    made = "".join(new_password(128, "punctuation") for _ in range(200))

    assert set(made) == set(string.ascii_letters + string.digits + "!#$%&()*+,-.;<=>?[]^_{|}~")


def test_keys_have_the_form_that_their_generator_names() -> None:
    assert len(base64.b64decode(new_key("base64", 48), validate=True)) == 48
    assert len(bytes.fromhex(new_key("hex", 16))) == 16
    assert len(base64.b64decode(new_key("hmac-sha256", 32), validate=True)) == 32
    # One in sixteen values of no version looks like one of version 4.
    assert {uuid.UUID(new_key("uuid", 32)).version for _ in range(50)} == {4}


@pytest.mark.parametrize("generator", ["base64", "hex", "uuid", "hmac-sha256"])
def test_keys_never_repeat_and_are_concealed(generator: str) -> None:
    keys = [new_key(generator, 32) for _ in range(100)]

    assert len(set(keys)) == 100
    assert redacted(keys[0]) == "[redacted]"
    forget()
