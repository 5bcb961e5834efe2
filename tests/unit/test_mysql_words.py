"""The words in which MySQL and MariaDB state rights and take changes.

MariaDB is run in tests/contract. Of what is said to MySQL alone these statements are all there is: each stands here
as https://dev.mysql.com/doc/refman/8.0/en/account-management-statements.html has it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rotation.engines.mysql import MySQL
from rotation.engines.mysql_clone import clone, own_rights
from rotation.engines.mysql_grants import Right, attributes, granting, identifier, literal, revoking, rights, table
from rotation.engines.mysql_users import (
    Account,
    accounts,
    discard_second_passwords,
    existing,
    hashed,
    locked,
    set_every_password,
    set_own_password,
)
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials

APP = Credentials("app", "current-7Tz", "db.example.com", 3306)
PENDING = replace(APP, password="pending-2Wm")
CLONE = replace(PENDING, username="app_clone")


@dataclass
class Script:
    """A session in which each statement is answered as the script has it: with rows, or an error of ours."""

    answers: dict[str, Sequence[Sequence[Any]] | RotationError] = field(default_factory=dict)
    is_mariadb: bool = False
    said: list[str] = field(default_factory=list)

    def run(self, statement: str) -> Sequence[Sequence[Any]]:
        self.said.append(statement)
        answer = self.answers.get(statement, ())
        if isinstance(answer, RotationError):
            raise answer
        return answer


def test_names_and_texts_are_quoted_by_doubling_their_quotes() -> None:
    assert literal("o'br\\ien") == "'o''br\\ien'"
    assert identifier("a`b") == "`a``b`"
    assert (table("shop.a.b"), table("orders")) == ("`shop`.`a.b`", "`orders`")


STATED = {
    "GRANT ALL PRIVILEGES ON `shop`.* TO `app`@`%` WITH GRANT OPTION": {
        ("ALL PRIVILEGES", "`shop`.*"),
        ("GRANT OPTION", "`shop`.*"),
    },
    "GRANT SELECT (`a`, `b, c`), INSERT ON `shop`.`o``x` TO `app`@`%`": {
        ("SELECT (`a`)", "`shop`.`o``x`"),
        ("SELECT (`b, c`)", "`shop`.`o``x`"),
        ("INSERT", "`shop`.`o``x`"),
    },
    "GRANT EXECUTE ON PROCEDURE `shop`.`to` TO 'app'@'%'": {("EXECUTE", "PROCEDURE `shop`.`to`")},
    "GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*A''B GRANT OPTION'": set(),
    "GRANT `reader` TO `app`@`%` WITH ADMIN OPTION": {("ROLE WITH ADMIN OPTION", "`reader`")},
    "GRANT `reader`@`%`,`writer` TO `app`@`%`": {("ROLE", "`reader`@`%`"), ("ROLE", "`writer`")},
    "GRANT PROXY ON 'a'@'b' TO 'app'@'%'": {("PROXY", "'a'@'b'")},
    "GRANT PROXY ON 'a'@'b' TO 'app'@'%' WITH GRANT OPTION": {("PROXY WITH GRANT OPTION", "'a'@'b'")},
    "SET DEFAULT ROLE `reader` FOR `app`@`%`": {("DEFAULT ROLE", "`reader`")},
    "GRANT SELECT ON `a\nb`.* TO `app`@`%`": {("SELECT", "`a\nb`.*")},
}


@pytest.mark.parametrize(("line", "found"), STATED.items())
def test_a_line_of_the_servers_grants_is_read_as_rights(line: str, found: set[tuple[str, str]]) -> None:
    assert rights([line]) == found


def test_the_lines_of_a_user_are_read_together() -> None:
    assert len(rights(STATED)) == sum(map(len, STATED.values()))


@pytest.mark.parametrize("line", ["REVOKE SELECT ON `mysql`.* FROM `app`@`%`", "SET PASSWORD"])
def test_a_line_that_is_no_grant_is_named_by_its_beginning(line: str) -> None:
    with pytest.raises(InvalidSecretError) as error:
        rights([line])

    assert str(error.value) == f"the server states a right that this rotator cannot copy: {line[:25]!r}..."


SAID = [
    (Right("SELECT", "`shop`.*"), "SELECT ON `shop`.*"),
    (Right("ROLE", "`reader`"), "ROLE `reader`"),
    (Right("ROLE WITH ADMIN OPTION", "`reader`"), "ROLE WITH ADMIN OPTION `reader`"),
    (Right("DEFAULT ROLE", "`reader`"), "DEFAULT ROLE `reader`"),
    (Right("CREATE_ROLE", "*.*"), "CREATE_ROLE ON *.*"),
]


@pytest.mark.parametrize(("right", "words"), SAID)
def test_a_right_in_words_names_what_it_is_on(right: Right, words: str) -> None:
    assert str(right) == words


MISSING = {
    Right("DEFAULT ROLE", "`reader`"),
    Right("ROLE", "`reader`"),
    Right("ROLE WITH ADMIN OPTION", "`writer`"),
    Right("PROXY", "'a'@'b'"),
    Right("PROXY WITH GRANT OPTION", "'c'@'d'"),
    Right("SELECT", "`shop`.*"),
    Right("INSERT (`a`)", "`shop`.*"),
    Right("GRANT OPTION", "`shop`.*"),
    Right("GRANT OPTION", "`b`.*"),
    Right("SELECT", "`c`.*"),
}


def test_what_is_missing_is_granted_object_by_object_and_a_default_role_after_the_roles() -> None:
    assert list(granting(MISSING, "'twin'@'%'", "FOR")) == [
        "GRANT PROXY ON 'a'@'b' TO 'twin'@'%'",
        "GRANT PROXY ON 'c'@'d' TO 'twin'@'%' WITH GRANT OPTION",
        "GRANT `reader` TO 'twin'@'%'",
        "GRANT `writer` TO 'twin'@'%' WITH ADMIN OPTION",
        "SET DEFAULT ROLE `reader` FOR 'twin'@'%'",
        "GRANT USAGE ON `b`.* TO 'twin'@'%' WITH GRANT OPTION",
        "GRANT INSERT (`a`), SELECT ON `shop`.* TO 'twin'@'%' WITH GRANT OPTION",
        "GRANT SELECT ON `c`.* TO 'twin'@'%'",
    ]


def test_what_is_too_much_is_taken_away_one_by_one() -> None:
    assert list(revoking(MISSING, "'twin'@'%'", "TO")) == [
        "SET DEFAULT ROLE NONE TO 'twin'@'%'",
        "REVOKE GRANT OPTION ON `b`.* FROM 'twin'@'%'",
        "REVOKE GRANT OPTION ON `shop`.* FROM 'twin'@'%'",
        "REVOKE INSERT (`a`) ON `shop`.* FROM 'twin'@'%'",
        "REVOKE PROXY ON 'a'@'b' FROM 'twin'@'%'",
        "REVOKE PROXY ON 'c'@'d' FROM 'twin'@'%'",
        "REVOKE `reader` FROM 'twin'@'%'",
        "REVOKE `writer` FROM 'twin'@'%'",
        "REVOKE SELECT ON `c`.* FROM 'twin'@'%'",
        "REVOKE SELECT ON `shop`.* FROM 'twin'@'%'",
    ]


MYSQLS_LIMITS = "MAX_QUERIES_PER_HOUR 1 MAX_UPDATES_PER_HOUR 2 MAX_CONNECTIONS_PER_HOUR 3 MAX_USER_CONNECTIONS 4"


@pytest.mark.parametrize(
    ("columns", "clauses"),
    [
        (("", "", "", "", 1, 2, 3, 4), f"REQUIRE NONE WITH {MYSQLS_LIMITS}"),
        (("ANY", "", "", "", 1, 2, 3, 4, 5.5), f"REQUIRE SSL WITH {MYSQLS_LIMITS} MAX_STATEMENT_TIME 5.5"),
        (("X509", "", "", "", 1, 2, 3, 4), f"REQUIRE X509 WITH {MYSQLS_LIMITS}"),
        (
            ("SPECIFIED", "AES'", "/CN=ca", "/CN=app", 1, 2, 3, 4),
            f"REQUIRE CIPHER 'AES''' AND ISSUER '/CN=ca' AND SUBJECT '/CN=app' WITH {MYSQLS_LIMITS}",
        ),
        (("SPECIFIED", "", "", "/CN=app", 1, 2, 3, 4), f"REQUIRE SUBJECT '/CN=app' WITH {MYSQLS_LIMITS}"),
    ],
)
def test_what_a_user_has_to_bring_and_may_use_is_said_in_clauses(columns: Sequence[Any], clauses: str) -> None:
    assert attributes(columns) == clauses


# The accounts of a name.

MYSQLS_USERS = "SELECT Host, account_locked FROM mysql.user WHERE CAST(User AS BINARY) = CAST('app' AS BINARY)"
MARIADBS_USERS = "SELECT Host, Priv FROM mysql.global_priv WHERE CAST(User AS BINARY) = CAST('app' AS BINARY)"


def test_mysqls_accounts_of_a_name_are_one_for_each_host() -> None:
    server = Script({MYSQLS_USERS: [("%", "N"), ("10.%", "Y")]})

    assert accounts(server, "app") == [Account("app", "%"), Account("app", "10.%", is_locked=True)]


def test_mariadbs_accounts_of_a_name_have_their_ways_to_log_in_and_a_role_is_none() -> None:
    rows = [
        ("%", '{"plugin": "mysql_native_password", "authentication_string": "*AB", "account_locked": true}'),
        ("10.%", '{"plugin": "ed25519", "authentication_string": "x", "auth_or": [{}, {"plugin": "unix_socket"}]}'),
        ("::1", "{}"),
        ("", '{"is_role": true}'),
    ]
    server = Script({MARIADBS_USERS: rows}, is_mariadb=True)

    assert accounts(server, "app") == [
        Account("app", "%", (("mysql_native_password", "*AB"),), is_locked=True),
        Account("app", "10.%", (("ed25519", "x"), ("unix_socket", ""))),
        Account("app", "::1", (("mysql_native_password", ""),)),
    ]


def test_a_user_without_an_account_is_named() -> None:
    with pytest.raises(InvalidSecretError, match=r"^user 'app' at db\.example\.com:3306 does not exist$"):
        existing(Script(), APP)


def test_an_account_that_logs_in_in_another_way_is_named() -> None:
    with pytest.raises(InvalidSecretError) as error:
        Account("app", "%", (("mysql_native_password", "*AB"), ("unix_socket", ""))).check()

    assert str(error.value) == "'app'@'%' logs in by unix_socket; this rotator changes mysql_native_password only"


def test_a_password_is_hashed_as_the_server_does_it() -> None:
    # SELECT PASSWORD('mariadb'), https://mariadb.com/kb/en/password
    assert hashed("mariadb") == "*54958E764CE10E50764C2EECBB71D01F08549980"


def lock(digest: str) -> str:
    return f"SELECT GET_LOCK('rotation {digest}', 4)"


APP_LOCK = lock("a172cedcae47474b615c54d510a5d84a")
CLONE_LOCK = lock("058e3feefe77a3029fc70f289c745fdf")


def test_users_are_locked_in_one_order_so_that_two_calls_never_wait_for_each_other() -> None:
    one, other = (Script({APP_LOCK: [(1,)], CLONE_LOCK: [(1,)]}) for _ in range(2))
    with locked(one, 5, "app", "app_clone"), locked(other, 5, "app_clone", "app"):
        assert one.said == other.said == [APP_LOCK, CLONE_LOCK]


@pytest.mark.parametrize("answer", [0, None])
def test_a_user_whom_another_call_changes_is_unavailable(answer: int | None) -> None:
    with (
        pytest.raises(UnavailableError, match=r"^another call changes user 'app' at this moment$"),
        locked(Script({APP_LOCK: [(answer,)]}), 5, "app"),
    ):
        raise AssertionError("it was not locked")


# What is said to MySQL alone.


def test_mysql_changes_all_accounts_of_a_name_in_one_statement_and_in_the_clear() -> None:
    server = Script({MYSQLS_USERS: [("%", "N"), ("10.%", "N")]})

    set_every_password(server, replace(PENDING, password="o'brien"))

    assert server.said == [
        MYSQLS_USERS,
        "ALTER USER 'app'@'%' IDENTIFIED BY 'o''brien', 'app'@'10.%' IDENTIFIED BY 'o''brien'",
    ]


def test_mysql_is_told_to_forget_the_second_password_of_each_account() -> None:
    server = Script({MYSQLS_USERS: [("%", "N"), ("10.%", "N")]})

    discard_second_passwords(server, "app")

    assert server.said == [
        MYSQLS_USERS,
        "ALTER USER 'app'@'%' DISCARD OLD PASSWORD, 'app'@'10.%' DISCARD OLD PASSWORD",
    ]


ALTER_OWN = "ALTER USER USER() IDENTIFIED BY 'pending-2Wm'"
FORGET = "ALTER USER USER() DISCARD OLD PASSWORD"
KEEP = f"{ALTER_OWN} REPLACE 'current-7Tz' RETAIN CURRENT PASSWORD"


@pytest.mark.parametrize(
    ("retain", "keep", "said"),
    [
        (False, APP, [ALTER_OWN]),
        (False, None, [ALTER_OWN]),
        (True, APP, [KEEP]),
        (True, None, [ALTER_OWN, FORGET]),
        (True, PENDING, [ALTER_OWN, FORGET]),
        (True, replace(APP, username="other"), [ALTER_OWN, FORGET]),
    ],
)
def test_a_user_of_mysql_keeps_the_password_before_where_the_tag_asks_for_it(
    retain: bool, keep: Credentials | None, said: list[str]
) -> None:
    session: Any = Script()

    MySQL(retain=retain)._set_own_on_mysql(session, PENDING, keep)

    assert session.said == said


@pytest.mark.parametrize(("retain", "is_mariadb", "discards"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_an_admin_of_mysql_takes_second_passwords_away_where_there_may_be_some(
    retain: bool, is_mariadb: bool, discards: int
) -> None:
    session: Any = Script({MYSQLS_USERS: [("%", "N")]}, is_mariadb=is_mariadb)

    MySQL(retain=retain)._discard(session, PENDING)

    assert session.said == [MYSQLS_USERS, "ALTER USER 'app'@'%' DISCARD OLD PASSWORD"] * discards


def of(user: str, host: str) -> str:
    return f"CAST(User AS BINARY) = CAST('{user}' AS BINARY) AND Host = '{host}'"


def test_a_second_user_of_mysql_gets_the_rights_roles_and_limits_of_the_first() -> None:
    of_app = (
        "SELECT ssl_type, CAST(ssl_cipher AS CHAR), CAST(x509_issuer AS CHAR), CAST(x509_subject AS CHAR), "
        f"max_questions, max_updates, max_connections, max_user_connections FROM mysql.user WHERE {of('app', '%')}"
    )
    roles = "SELECT default_role_user, default_role_host FROM mysql.default_roles WHERE "
    grants = [("GRANT SELECT ON `shop`.* TO `app`@`%`",), ("GRANT `reader`@`%` TO `app`@`%`",)]
    server = Script(
        {
            MYSQLS_USERS: [("%", "Y")],
            of_app: [("ANY", "", "", "", 1, 2, 3, 4)],
            "SHOW GRANTS FOR 'app'@'%'": grants,
            roles + of("app", "%"): [("reader", "%")],
        }
    )

    with pytest.raises(RightsDifferError) as error:
        clone(server, APP, CLONE, known=False)

    # The script never shows that the second user got anything.
    assert str(error.value) == (
        "'app_clone'@'%' and 'app'@'%' still differ in: DEFAULT ROLE `reader`@`%`; ROLE `reader`@`%`; "
        "SELECT ON `shop`.*"
    )
    changes = [each for each in server.said if not each.startswith(("SELECT", "SHOW"))]
    granted = [
        "GRANT `reader`@`%` TO 'app_clone'@'%'",
        "SET DEFAULT ROLE `reader`@`%` TO 'app_clone'@'%'",
        "GRANT SELECT ON `shop`.* TO 'app_clone'@'%'",
    ]
    assert changes == [
        f"CREATE USER IF NOT EXISTS 'app_clone'@'%' IDENTIFIED BY 'pending-2Wm' REQUIRE SSL WITH {MYSQLS_LIMITS}",
        *granted,
        *granted,
    ]


@pytest.mark.parametrize(("stored", "lock"), [("Y", "LOCK"), ("N", "UNLOCK")])
def test_a_second_user_of_mysql_is_locked_if_the_first_is(stored: str, lock: str) -> None:
    of_app = (
        "SELECT ssl_type, CAST(ssl_cipher AS CHAR), CAST(x509_issuer AS CHAR), CAST(x509_subject AS CHAR), "
        f"max_questions, max_updates, max_connections, max_user_connections FROM mysql.user WHERE {of('app', '%')}"
    )
    server = Script({MYSQLS_USERS: [("%", stored)], of_app: [("", "", "", "", 1, 2, 3, 4)]})

    clone(server, APP, CLONE, known=False)

    assert server.said[-1] == (
        f"ALTER USER 'app_clone'@'%' IDENTIFIED BY 'pending-2Wm' REQUIRE NONE WITH {MYSQLS_LIMITS} ACCOUNT {lock}"
    )


@pytest.mark.parametrize(
    ("active", "using", "default"),
    [
        ("NONE", "", set()),
        ("`reader`@`%`", " USING `reader`@`%`", {("DEFAULT ROLE", "`reader`@`%`")}),
    ],
)
def test_what_a_user_of_mysql_may_do_is_asked_for_with_its_active_roles(
    active: str, using: str, default: set[tuple[str, str]]
) -> None:
    server = Script(
        {
            "SELECT CURRENT_ROLE()": [(active,)],
            f"SHOW GRANTS FOR CURRENT_USER(){using}": [("GRANT SELECT ON `shop`.* TO `app`@`%`",)],
        }
    )

    assert own_rights(server) == {("SELECT", "`shop`.*")} | default


def test_a_refusal_of_mysqls_own_users_change_is_proven_by_a_log_in_with_the_new_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session: Any = Script({KEEP: LoginRefusedError("incorrect current password")})
    unreachable = replace(PENDING, host="127.0.0.1", port=1, ssl=False)

    with pytest.raises(UnavailableError, match=r"^user 'app' at 127\.0\.0\.1:1: "):
        MySQL(retain=True)._set_own_on_mysql(session, unreachable, replace(unreachable, password=APP.password))


def native(*passwords: str) -> str:
    """How MariaDB stores an account with these passwords."""
    ways = [{"plugin": "mysql_native_password", "authentication_string": hashed(password)} for password in passwords]
    return json.dumps({"auth_or": ways})


def test_mariadb_is_sent_hashes_and_keeps_the_password_before_if_it_is_the_accounts_own() -> None:
    rows = [("%", native("current-7Tz")), ("10.%", native("pending-2Wm"))]
    server = Script({MARIADBS_USERS: rows}, is_mariadb=True)

    set_every_password(server, PENDING, keep=APP)

    new, kept = (f"mysql_native_password USING '{hashed(user.password)}'" for user in (PENDING, APP))
    assert server.said[-1] == (
        f"ALTER USER 'app'@'%' IDENTIFIED VIA {new} OR {kept}, 'app'@'10.%' IDENTIFIED VIA {new}"
    )


def test_accounts_that_may_be_different_peoples_are_named() -> None:
    rows = [("%", native("current-7Tz")), ("10.%", native("by-hand-9Xc")), ("::1", native("pending-2Wm"))]

    with pytest.raises(InvalidSecretError) as error:
        set_every_password(Script({MARIADBS_USERS: rows}, is_mariadb=True), PENDING)

    assert str(error.value) == (
        "'app'@'%', 'app'@'10.%', 'app'@'::1' have different passwords, so they may be different people's: give them "
        "the same one, or change this one without an admin secret"
    )


def test_a_user_of_mariadb_with_a_second_password_is_told_who_can_take_it_away() -> None:
    created = "CREATE USER `a OR b`@`%` IDENTIFIED VIA mysql_native_password USING '*A' OR unix_socket"

    with pytest.raises(RightsDifferError) as error:
        set_own_password(Script({"SHOW CREATE USER": [(created,)]}, is_mariadb=True), PENDING)

    assert str(error.value) == (
        "user 'app' at db.example.com:3306 has a second password or another second way to log in, and on MariaDB only "
        "an administrator can take it away: rotate it with an admin secret, or give it one password by ALTER USER"
    )


def test_a_user_of_mariadb_sets_its_own_password_as_a_hash() -> None:
    created = "CREATE USER `a OR b`@`%` IDENTIFIED BY PASSWORD '*A OR B'"
    server = Script({"SHOW CREATE USER": [(created,)]}, is_mariadb=True)

    set_own_password(server, PENDING)

    assert server.said == ["SHOW CREATE USER", f"SET PASSWORD = '{hashed('pending-2Wm')}'"]


def test_a_password_that_a_policy_has_to_judge_is_sent_in_the_clear() -> None:
    as_hash = f"SET PASSWORD = '{hashed('pending-2Wm')}'"
    answers: dict[str, Any] = {"SHOW CREATE USER": [("",)], as_hash: PasswordRejectedError("a hash")}
    server = Script(answers, is_mariadb=True)

    set_own_password(server, PENDING)

    assert server.said == ["SHOW CREATE USER", as_hash, "SET PASSWORD = PASSWORD('pending-2Wm')"]


def test_an_account_of_the_second_user_that_the_first_lacks_is_named() -> None:
    server = Script(
        {
            MYSQLS_USERS.replace("'app'", "'app_clone'"): [("%", "N"), ("10.%", "N")],
            MYSQLS_USERS: [("%", "N")],
        }
    )

    with pytest.raises(RightsDifferError) as error:
        clone(server, APP, CLONE, known=True)

    assert str(error.value) == (
        "user 'app_clone' at db.example.com:3306 also logs in from ['10.%'], from where 'app' does not: "
        "drop those accounts, or create the same ones for the other user"
    )
