"""New passwords."""

import string

from rotation.passwords import new_password
from rotation.redaction import forget, redacted

SAMPLE = [new_password() for _ in range(2_000)]
forget()
ALPHABET = set(string.ascii_letters + string.digits + "-_.~")


def test_a_password_has_32_characters_that_need_no_quoting_anywhere() -> None:
    assert {len(password) for password in SAMPLE} == {32}
    assert set("".join(SAMPLE)) == ALPHABET


def test_a_password_has_every_kind_of_character_and_begins_with_a_letter() -> None:
    for password in SAMPLE:
        assert password[0] in string.ascii_letters
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.~"):
            assert set(password) & set(kind)


def test_passwords_never_repeat_and_no_character_is_preferred() -> None:
    count = {character: sum(password.count(character, 1) for password in SAMPLE) for character in ALPHABET}

    assert len(set(SAMPLE)) == len(SAMPLE)
    # 62,000 characters of 66 kinds: about 940 of each; the four punctuation marks come a little more often, since
    # every password has one. Six standard deviations are about 180.
    assert all(700 < each < 1_300 for each in count.values()), count


def test_a_password_is_concealed_as_soon_as_it_is_made() -> None:
    assert redacted(new_password()) == "[redacted]"
    forget()
