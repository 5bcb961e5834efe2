"""What people may put into a secret, a tag or an event, and by which words a leak of it is seen."""

import json
from typing import Any

from hypothesis import strategies as st

from rotation.engines import ENGINES
from tests.workflow.test_secrecy import forms

# In every password, and in every value that no message may quote; in no text of this project or of a server.
MARK = "Xk7qWz9vLm"

HOSTILE = (
    *("'", '"', "`", "\\", "''", "\\'", ";", "--", "#", "/*", "*/", "'; DROP ROLE y; --", '"; DROP ROLE y; --'),
    *("%", "%s", "%(new)s", "$$", "$1", "${x}", "{}", "\n", "\r\n", "\t", " ", "-", "--help", "=", ",", "@", ":", "_"),
    # Marks of format, spaces, what normalizing changes, what goes from right to left.
    *(
        "\u00ad",
        "\u200b",
        "\ufeff",
        "\u3000",
        "\u0301",
        "\u0340",
        "ﬁ",
        "é",
        "ß",
        "İ",
        "א",
        "\ufe70",
        "\ufb1d",
        "\u202e",
    ),
    *("🦊", "\U0010ffff", "\x7f", "\x1b[31m"),
)
_PIECES = st.one_of(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    st.sampled_from(HOSTILE),
    st.text(alphabet="abcXYZ019_.-", min_size=1, max_size=6),
)


def texts(most: int = 6) -> st.SearchStrategy[str]:
    """Any text without NUL, rich in what quoting gets wrong."""
    return st.lists(_PIECES, max_size=most).map("".join)


def around(middle: str, most: int = 6) -> st.SearchStrategy[str]:
    """Any text with this in it, so that it is known among others."""
    return st.tuples(texts(most), texts(most)).map(middle.join)


PASSWORDS = st.one_of(around(MARK), st.integers(100, 2000).map(lambda length: MARK + "p%'\\🦊" * length))


# Those, and some of which nothing may be left when a server prepares them: a leak of these could not be told.
ODD_PASSWORDS = st.one_of(PASSWORDS, PASSWORDS, st.text("\u00ad\u200b\u200d\ufeff \t-'\"%\\", min_size=8, max_size=12))


def leaked(password: str, text: str) -> list[str]:
    """The forms in which the password, or a part of it that is known by its mark, stands in a text."""
    return [form for form in {MARK} | forms(password) if form in text]


# No message may quote these: a wrong value in one place may be the right one of another.
WRONG: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(""), st.just(MARK), around(MARK, 2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(around(MARK, 1), inner, max_size=3)),
    max_leaves=6,
)
STRUCTURES = st.one_of(st.lists(WRONG, max_size=2), st.dictionaries(around(MARK, 1), WRONG, max_size=2), st.booleans())

_HOSTS = (
    *("127.0.0.1", "127.1", "localhost", "db.example", "db.example.", "::1", "fe80::1", "0", "0x7f.1", "999.1.1.1"),
    *("postgres://app:pw@db/orders", "http://db", "db:5432", "[::1]", "[::1]:5432", "::ffff:127.0.0.1", "1.2.3"),
    *("::1%lo", "::1%[", "::1%ü", "::1%a b", "::1%" + "a" * 300, "db example", " db", "db\n", "db,db:1", "db:1,", ","),
    *("münchen.example", "xn--mnchen-3ya.example", "例え.jp", "İ.example", "a" * 64, "a." * 127, "a." * 126 + "a", "."),
    *("-db", "db-", "_db", "db_", "*.db", "db/..", "db\\x", "db;ls", "db%0a", "127.0.0.\uff11"),
)
HOSTS = st.one_of(
    st.sampled_from(_HOSTS),
    texts(),
    texts(4).map(lambda text: "::1%" + text),
    st.integers(1, 300).map(lambda length: "::1%" + "a" * length),
    st.text(alphabet="a1.-_:,%[]", min_size=1, max_size=80),
)
PORTS = st.one_of(
    st.integers(-1, 70_000),
    st.sampled_from(("5432", "05432", "5432 ", "+5432", "٥٤٣٢", "0x1", "1e3", "", "99999", 5432.0, True, None, [5432])),
)
NAMES = st.one_of(around("app"), st.just("app" * 20_000), st.just("app\0"), st.just("_clone"))
_TEXTS = {"username": NAMES, "host": HOSTS, "dbname": texts(), "replicaSet": texts(), "masterarn": texts()}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-AbCdEf"
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **_TEXTS,
    "masterarn": st.one_of(texts(), st.just(ARN)),
    "engine": st.one_of(st.sampled_from([*ENGINES, "oracle", "sqlserver-ee", "Postgres", "POSTGRES", ""]), texts()),
    "port": PORTS,
    "ssl": st.one_of(st.booleans(), st.sampled_from(("true", "false", "True", "no", "", 0, 1))),
    "password": PASSWORDS,
}


@st.composite
def fields(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A secret that is good but for some keys: missing, of another case, of another type,
    with odd values or with the password in it, and more keys."""
    found, misplaced = dict(good), []
    for key in draw(st.lists(st.sampled_from([*VALUES]), max_size=3, unique=True)):
        change = draw(st.sampled_from(("value", "value", "missing", "case", "type", "password")))
        old = found.pop(key, "")
        if change == "value":
            found[key] = draw(VALUES[key])
        elif change == "case":
            found[draw(st.sampled_from((key.upper(), key.title(), f" {key}", f"{key}\0")))] = old
        elif change == "type":
            found[key] = draw(st.one_of(STRUCTURES, st.integers(), st.floats()))
        elif change == "password":
            misplaced.append(key)
    found |= {key: found.get("password") for key in misplaced}
    return found | draw(st.dictionaries(around("key", 2), WRONG, max_size=2))


def secrets_of(good: dict[str, Any]) -> st.SearchStrategy[str]:
    """The text of a secret with such fields."""
    return st.builds(lambda found, ascii_only: json.dumps(found, ensure_ascii=ascii_only), fields(good), st.booleans())


def _written(how: str, whole: str) -> str:
    """A secret's JSON as no program would write it, or in a way that a program could read otherwise."""
    start, depth = whole[:-1], {"nested": 500, "deep": 9_990, "too deep": 30_000}.get(how, 0)
    return {
        "BOM": f"\ufeff{whole}",
        "cut": start,
        "key twice": start + f', "password": "{MARK}", "port": 1}}',
        "two": whole + whole,
        "NaN": start + ', "rate": NaN}',
        "infinite": start + ', "rate": 1e999}',
        "long number": start + f', "rate": {"9" * 5_000}}}',
        "NUL": whole.replace(MARK, f"{MARK}\\u0000"),
        "surrogate": whole.replace(MARK, f"{MARK}\\ud83e"),
        "list": f"[{whole}]",
        "text": json.dumps(whole),
        "repr": repr(json.loads(whole)),
        "spaced": f"\n {whole}\t",
        "huge": start + f', "more": "{"m" * 60_000}"}}',
    }.get(how, start + f', "engine": {"[" * depth}{"]" * depth}}}')


def texts_of(good: dict[str, Any]) -> st.SearchStrategy[str]:
    """A secret that is no JSON or unusual JSON."""
    hows = ("BOM", "cut", "key twice", "two", "NaN", "infinite", "long number", "NUL", "surrogate", "list", "text")
    how = st.sampled_from((*hows, "repr", "spaced", "huge", "nested", "deep", "too deep"))
    return st.one_of(st.builds(_written, how, secrets_of(good)), PASSWORDS, WRONG.map(json.dumps))


_TAGS = {
    "engine": [*ENGINES, "oracle", "Postgres", ""],
    "strategy": ["", "single-user", "alternating-users", "both"],
    "key": ["", "password", "username", "engine", "token", "masterarn"],
    "generator": ["password", "base64", "hex", "uuid", "hmac-sha256", "sha1"],
    "length": ["8", "32", "128", "0", "-1", "1e2", " 32", "٣٢", "9" * 256, ""],
    "characters": ["url-safe", "alphanumeric", "punctuation", "emoji"],
    "two-passwords": ["on", "off", "retain", "On"],
    "reads": ["orders", "shop.orders", "a..b", ".", "or'ders \"x", ""],
    "admin": ["secret-rotation"],
}


def _tag(name: str) -> st.SearchStrategy[tuple[str, str]]:
    values = st.one_of(st.sampled_from(_TAGS[name]), st.sampled_from(_TAGS[name]), texts())
    return values.map(lambda value: (f"rotation:{name}", value[:256]))


# What Secrets Manager takes as tags and more: it refuses control characters, and values over 256 characters.
TAGS = st.lists(
    st.one_of(
        *map(_tag, _TAGS),
        st.tuples(st.one_of(texts().map("rotation:".__add__), texts(), st.just("Rotation:engine")), texts()),
    ),
    max_size=2,
).map(dict)
