"""No text that leaves a function carries a secret value, however another program has quoted it."""

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from pg8000.native import DatabaseError, literal

from rotation.redaction import conceal, forget, redacted

PASSWORDS = {
    "plain": "Zk3-vQ9_xT7.bN2~mP5yWc8rLd4hJs6f",
    "quotes": "it's \"quoted\" 'twice'",
    "single quote and control character": "o'brien\x1f",
    "single quote, control character and accent": "ö'brien\x1f",
    "backslash": "back\\slash\\n",
    "percent and plus": "100% + 1/2 = a&b",
    "line break": "one\ntwo\tthree",
    "accents": "pässwört",
    "emoji": "fox 🦊 den",
    "all at once": "öld \"pass\" 'word' \\n 🦊",
    "surrogate": "half \ud83e pair",
    "short": "abcd",
}

# How a password comes into a text that a library made.
PROGRAMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda password: f"login failed for app:{password}@db",
    "JSON": lambda password: json.dumps({"error": f"at or near {password}"}),
    "JSON in JSON": lambda password: json.dumps({"cause": json.dumps({"error": f"at {password}"})}),
    "JSON in unicode": lambda password: json.dumps({"error": f"at {password}"}, ensure_ascii=False),
    "repr": lambda password: repr({"password": password}),
    "repr of bytes without quotes": lambda password: repr(password.encode("utf-8", "surrogatepass")),
    "repr of a text with quotes": lambda password: repr(f"""it's "near" {password}"""),
    "driver's error": lambda password: str(DatabaseError({"C": "XX001", "M": f'''it's near "{password}"'''})),
    "repr in JSON": lambda password: json.dumps({"error": repr(f"""it's "near" {password}""")}),
    "repr of bytes": lambda password: repr(b'it\'s "near" ' + password.encode("utf-8", "surrogatepass")),
    "SQL": lambda password: f"ALTER ROLE app PASSWORD {literal(password)}",
    "SQL in JSON": lambda password: json.dumps({"statement": f"ALTER ROLE app PASSWORD {literal(password)}"}),
    "URL": lambda password: f"postgres://app:{urllib.parse.quote(password, '', errors='surrogatepass')}@db",
    "form": lambda password: f"password={urllib.parse.quote_plus(password, '', errors='surrogatepass')}&user=app",
    "XML": lambda password: f"<password>{html.escape(password)}</password>",
    "hexadecimal": lambda password: f"password={password.encode('utf-8', 'surrogatepass').hex()}",
}


@pytest.fixture(autouse=True)
def nothing_concealed() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
@pytest.mark.parametrize("quoted", PROGRAMS.values(), ids=PROGRAMS)
def test_a_quoted_value_is_taken_out_whole_and_nothing_else(password: str, quoted: Callable[[str], str]) -> None:
    conceal(password)
    text = redacted(quoted(password))

    assert "[redacted]" in text
    assert password not in text
    # Which quotes a program chooses depends on the text, so the rest may differ by a few of them.
    assert len(text) < len(quoted("")) + len("[redacted]") + 8


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "hexadecimal"])
def test_no_character_of_a_quoted_value_is_left(program: str, password: str) -> None:
    conceal(password)

    assert "A[redacted]Z" in redacted(PROGRAMS[program](f"A{password}Z"))


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
@pytest.mark.parametrize("before", ["", "a", "ab", "app:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode], ids=["base64", "urlsafe"])
def test_a_value_inside_base64_is_taken_out(encode: Callable[[bytes], bytes], before: str, password: str) -> None:
    conceal(password)
    whole = encode(f"{before}{password}!".encode("utf-8", "surrogatepass")).decode()

    left = redacted(f"Basic {whole}").removeprefix("Basic ")

    # What is left around the value are the characters that it shares with its neighbours.
    assert "[redacted]" in left
    assert len(left) <= len("[redacted]") + len(encode(before.encode())) + 4


def test_a_value_inside_a_longer_one_leaves_no_rest_of_the_longer_one() -> None:
    conceal("secret")
    conceal("secret-and-more")

    assert redacted("is secret-and-more or secret") == "is [redacted] or [redacted]"


def test_a_value_that_is_too_short_to_be_told_from_words_is_left() -> None:
    conceal("abc")
    conceal("")

    assert redacted("abcdef") == "abcdef"


def test_what_was_forgotten_is_not_taken_out() -> None:
    conceal("secret")
    forget()

    assert redacted("secret") == "secret"


def test_a_value_that_another_one_contains_leaves_nothing_of_it() -> None:
    conceal("word")
    conceal("password-of-the-admin")

    assert redacted("tried password-of-the-admin and word") == "tried [redacted] and [redacted]"


def test_a_value_shorter_than_four_characters_garbles_no_text() -> None:
    conceal("abc")
    conceal("four")

    assert redacted("abc, four") == "abc, [redacted]"
