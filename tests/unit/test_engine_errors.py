"""What each engine makes of the answers that a server can give; tests/contract has those that a real one is made to."""

import ssl
import struct
from contextlib import AbstractContextManager
from dataclasses import replace

import pg8000.native as pg
import pymysql
import pytest
import redis
from pymongo.errors import AutoReconnect, ConfigurationError, InvalidName, NetworkTimeout, OperationFailure
from pymysql.err import raise_mysql_exception
from redis._parsers.base import BaseParser

from rotation.engines import mongo, mysql, postgres
from rotation.engines import redis as redis_engine
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials

USER = Credentials("app", "Zk3-vQ9_xT7", "db.example.com", 5432)
WHERE = "user 'app' at db.example.com:5432"
UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"


def told(translated: AbstractContextManager[None], failure: Exception) -> RotationError:
    with pytest.raises(RotationError) as error, translated:
        raise failure
    return error.value


# Redis: the server's answer, ours, and other words than the server's.
NO_DATABASE = "the server has no database of the number in the secret's dbname"
REDIS: list[tuple[str, type[RotationError], str]] = [
    ("WRONGPASS invalid username-password pair or user is disabled.", LoginRefusedError, ""),
    ("NOAUTH Authentication required.", LoginRefusedError, ""),
    ("NOPERM User app has no permissions to run the 'acl|setuser' command", RightsDifferError, ""),
    ("LOADING Redis is loading the dataset in memory", UnavailableError, ""),
    ("BUSY Redis is busy running a script.", UnavailableError, ""),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", UnavailableError, ""),
    ("READONLY You can't write against a read only replica.", UnavailableError, ""),
    ("OOM command not allowed when used memory > 'maxmemory'.", UnavailableError, ""),
    ("CLUSTERDOWN Hash slot not served", UnavailableError, ""),
    ("TRYAGAIN Multiple keys request during rehashing of slot", UnavailableError, ""),
    ("ERR max number of clients reached", UnavailableError, ""),
    ("ERR DB index is out of range", InvalidSecretError, NO_DATABASE),
    ("ERR value is not an integer or out of range", InvalidSecretError, NO_DATABASE),
    ("ERR invalid DB index", InvalidSecretError, NO_DATABASE),
    (
        "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        InvalidSecretError,
        "",
    ),
    ("ERR Rewriting config file: Permission denied", InvalidSecretError, ""),
    (
        "ERR wrong number of arguments for 'auth' command",
        InvalidSecretError,
        "the server knows no users; they came with Redis 6",
    ),
    (
        "ERR unknown command 'ACL', with args beginning with: 'SETUSER' '#5f2c'",
        InvalidSecretError,
        "the server lacks a command; a managed one has an API of its own for users",
    ),
    (
        "ERR Error in ACL SETUSER modifier '!5f2c': The password you are trying to remove from the user does not exist",
        UnavailableError,
        "something else changed this user's passwords just now",
    ),
]


@pytest.mark.parametrize(("answer", "kind", "instead"), REDIS, ids=[row[0][:24] for row in REDIS])
def test_each_answer_of_redis_is_one_of_our_errors(answer: str, kind: type[RotationError], instead: str) -> None:
    failure = BaseParser.parse_error(answer)

    error = told(redis_engine._translated(USER), failure)

    assert (type(error), str(error)) == (kind, f"{WHERE}: {instead or answer}")


def test_an_answer_of_redis_that_nobody_knows_stays_what_it_is() -> None:
    with pytest.raises(redis.ResponseError, match=r"^NEW words$"), redis_engine._translated(USER):
        raise BaseParser.parse_error("NEW words")


def test_what_changing_a_password_needs_on_redis_is_named() -> None:
    assert redis_engine._NEEDED == (
        "changing a password needs +acl|getuser +acl|setuser +acl|save, without an ACL file +config|rewrite too"
    )


POSTGRES: dict[str, type[RotationError]] = {
    "28000": LoginRefusedError,
    "28P01": LoginRefusedError,
    "3D000": InvalidSecretError,
    "3F000": InvalidSecretError,
    "42P01": InvalidSecretError,
    "42704": InvalidSecretError,
    "0A000": InvalidSecretError,
    "42601": InvalidSecretError,
    "42809": InvalidSecretError,
    "42501": RightsDifferError,
    "22023": InvalidSecretError,
    "08006": UnavailableError,
    "25006": UnavailableError,
    "40P01": UnavailableError,
    "53300": UnavailableError,
    "55P03": UnavailableError,
    "57P03": UnavailableError,
    "57014": UnavailableError,
    "58030": UnavailableError,
    "XX000": UnavailableError,
}


@pytest.mark.parametrize(("state", "kind"), POSTGRES.items(), ids=POSTGRES)
def test_each_sqlstate_of_postgresql_is_one_of_our_errors(state: str, kind: type[RotationError]) -> None:
    error = told(postgres._translated(USER), pg.DatabaseError({"C": state, "M": "words of the server"}))

    assert (type(error), str(error)) == (kind, f"{WHERE}: words of the server (SQLSTATE {state})")


@pytest.mark.parametrize("answer", [{"C": "22012", "M": "division by zero"}, {"M": "no SQLSTATE"}])
def test_an_answer_of_postgresql_that_nobody_knows_stays_what_it_is(answer: dict[str, str]) -> None:
    with pytest.raises(pg.DatabaseError), postgres._translated(USER):
        raise pg.DatabaseError(answer)


MYSQL: dict[type[RotationError], list[int]] = {
    LoginRefusedError: [1130, 1820, 1862, 3118, 3159, 3891, 3955, 4151],
    RightsDifferError: [1044, 1132, 1142, 1143, 1211, 1227, 1356, 1370, 1410, 1959],
    PasswordRejectedError: [1819, 3638],
    InvalidSecretError: [1046, 1049, 1054, 1102, 1103, 1133, 1146, 1251, 1300, 1305, 1470, 1524, 1699, 2059, 3892],
    UnavailableError: [
        *(1037, 1038, 1040, 1041, 1129, 1135, 1203, 1226),
        *(1021, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031),
        *(1205, 1213, 1969, 3024),
        *(1047, 1290, 1792, 1836),
        *(2002, 2003, 2005, 2006, 2012, 2013, 2014, 2055),
    ],
}
REFUSALS = [(number, kind) for kind, numbers in MYSQL.items() for number in numbers]


def from_mysql(number: int, text: str) -> Exception:
    """What PyMySQL raises for the server's error packet."""
    packet = b"\xff" + struct.pack("<H", number) + b"#HY000" + text.encode()
    with pytest.raises(pymysql.MySQLError) as error:
        raise_mysql_exception(packet)
    return error.value


@pytest.mark.parametrize(("number", "kind"), REFUSALS)
def test_each_error_number_of_mysql_is_one_of_our_errors(number: int, kind: type[RotationError]) -> None:
    for meanings in (mysql._AT_LOG_IN, mysql._IN_SESSION):
        error = told(mysql._translated(USER, meanings), from_mysql(number, "words of the server"))

        assert (type(error), str(error)) == (kind, f"{WHERE}: words of the server (error {number})")


@pytest.mark.parametrize("number", [1045, 1698])
def test_mysqls_access_denied_is_a_refusal_at_log_in_and_a_missing_right_after_it(number: int) -> None:
    at_log_in = told(mysql._translated(USER, mysql._AT_LOG_IN), from_mysql(number, "Access denied"))
    in_session = told(mysql._translated(USER, mysql._IN_SESSION), from_mysql(number, "Access denied"))

    assert (type(at_log_in), type(in_session)) == (LoginRefusedError, RightsDifferError)
    assert str(at_log_in) == str(in_session) == f"{WHERE}: Access denied (error {number})"


NO_TLS = (
    f'{WHERE} does not speak TLS; turn it on there, or put "ssl": false into the secret to send passwords in the clear'
)


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (from_mysql(2026, "SSL connection error"), InvalidSecretError, NO_TLS),
        (
            from_mysql(1064, "near 'Zk3'"),
            InvalidSecretError,
            f"{WHERE}: this version of the server lacks a statement that the rotation needs",
        ),
        (
            from_mysql(1290, "running with the --strict-password-validation option"),
            PasswordRejectedError,
            f"{WHERE}: running with the --strict-password-validation option (error 1290)",
        ),
        (
            from_mysql(1819, "--strict-password-validation"),
            PasswordRejectedError,
            f"{WHERE}: --strict-password-validation (error 1819)",
        ),
        (
            from_mysql(1053, "--strict-password-validation"),
            UnavailableError,
            f"{WHERE}: --strict-password-validation (error 1053)",
        ),
        (
            pymysql.err.InternalError("Packet sequence number wrong"),
            UnavailableError,
            f"{WHERE}: no answer of a MySQL server (Packet sequence number wrong)",
        ),
        (pymysql.err.OperationalError(), UnavailableError, f"{WHERE}: no answer of a MySQL server ()"),
        (pymysql.err.OperationalError(2006), UnavailableError, f"{WHERE}:  (error 2006)"),
    ],
)
def test_what_mysql_says_in_other_ways_is_one_of_our_errors_too(
    failure: Exception, kind: type[RotationError], text: str
) -> None:
    error = told(mysql._translated(USER, mysql._IN_SESSION), failure)

    assert (type(error), str(error)) == (kind, text)


def test_an_error_number_of_mysql_that_nobody_knows_stays_what_it_is() -> None:
    with pytest.raises(pymysql.MySQLError, match="Division by 0"), mysql._translated(USER, mysql._IN_SESSION):
        raise from_mysql(1365, "Division by 0")


# MongoDB: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
MONGO: dict[int, type[RotationError]] = {
    **dict.fromkeys((18, 334), LoginRefusedError),
    **dict.fromkeys((11, 73), InvalidSecretError),
    13: RightsDifferError,
    50692: PasswordRejectedError,
    **dict.fromkeys((6, 7, 24, 46, 50, 64, 89, 112, 202, 262, 9001, 11601), UnavailableError),
}


@pytest.mark.parametrize(("code", "kind"), MONGO.items())
def test_each_error_code_of_mongodb_is_one_of_our_errors(code: int, kind: type[RotationError]) -> None:
    failure = OperationFailure("words of the server", code, {"ok": 0, "errmsg": "and of the driver"})

    error = told(mongo._translated(WHERE), failure)

    assert (type(error), str(error)) == (kind, f"{WHERE}: words of the server (code {code})")


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (
            AutoReconnect("refused (configured timeouts: connectTimeoutMS: 4000.0ms), Timeout: 4s"),
            UnavailableError,
            f"{WHERE}: no answer (refused)",
        ),
        (NetworkTimeout("late, Timeout: 4s, Topology"), UnavailableError, f"{WHERE}: no answer (late)"),
        (ConfigurationError("no such set"), InvalidSecretError, f"{WHERE}: no such set"),
        (InvalidName("no '..' in a name"), InvalidSecretError, f"{WHERE}: no '..' in a name"),
    ],
)
def test_what_mongodbs_driver_says_itself_is_one_of_our_errors_too(
    failure: Exception, kind: type[RotationError], text: str
) -> None:
    error = told(mongo._translated(WHERE), failure)

    assert (type(error), str(error)) == (kind, text)


@pytest.mark.parametrize("code", [None, 9])
def test_an_error_of_mongodb_that_nobody_knows_stays_what_it_is(code: int | None) -> None:
    with pytest.raises(OperationFailure, match="unknown operator"), mongo._translated(WHERE):
        raise OperationFailure("unknown operator", code)


def test_a_certificate_that_is_not_trusted_is_the_secrets_fault_whatever_the_engine() -> None:
    of_mysql = pymysql.err.OperationalError(2003, "Can't connect")
    of_mysql.original_exception = UNTRUSTED  # type: ignore[attr-defined]  # as PyMySQL keeps it

    told_by = [
        told(postgres._translated(USER), UNTRUSTED),
        told(mysql._translated(USER, mysql._AT_LOG_IN), of_mysql),
        told(mongo._translated(WHERE), UNTRUSTED),
        told(redis_engine._translated(USER), UNTRUSTED),
    ]

    assert [type(error) for error in told_by] == [InvalidSecretError] * 4
    assert {str(error) for error in told_by} == {
        f"{WHERE}: the server's certificate is not trusted: self-signed certificate"
    }


@pytest.mark.parametrize("failure", [ConnectionRefusedError(111, "refused"), TimeoutError("late")])
def test_no_answer_is_unavailable_whatever_the_engine(failure: OSError) -> None:
    told_by = [
        told(postgres._translated(USER), failure),
        told(mongo._translated(WHERE), failure),
        told(redis_engine._translated(USER), failure),
    ]

    assert [type(error) for error in told_by] == [UnavailableError] * 3
    assert {str(error) for error in told_by} == {f"{WHERE}: no answer ({failure})"}


def test_a_connection_that_postgresqls_or_rediss_driver_lost_is_unavailable() -> None:
    lost = [
        told(postgres._translated(USER), pg.InterfaceError("network error")),
        told(redis_engine._translated(USER), redis.ConnectionError("network error")),
    ]

    assert [type(error) for error in lost] == [UnavailableError] * 2
    assert {str(error) for error in lost} == {f"{WHERE}: no answer (network error)"}


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("db", [("db", 27017)]),
        ("db:27018", [("db", 27018)]),
        ("::1", [("::1", 27017)]),
        ("[::1]:27018", [("::1", 27018)]),
        ("one,two:27018", [("one", 27017), ("two", 27018)]),
    ],
)
def test_a_host_of_mongodb_is_one_address_or_several(host: str, addresses: list[tuple[str, int]]) -> None:
    assert mongo._addresses(replace(USER, host=host, port=27017)) == addresses


def test_a_client_of_mongodb_has_time_limits_and_tries_nothing_twice() -> None:
    user = replace(USER, host="::1", port=27017, dbname="orders", ssl=False)

    with mongo._client(user, None) as client:
        options, pool = client.options, client.options.pool_options
        assert client.topology_description.topology_type_name == "Single"
        assert list(client.topology_description.server_descriptions()) == [("::1", 27017)]
        assert (pool.connect_timeout, options.server_selection_timeout, pool.socket_timeout) == (4, 4, 6)
        assert (options.retry_reads, options.retry_writes, pool.max_pool_size) == (False, False, 1)
        assert options.server_monitoring_mode == "poll"
        assert (pool.metadata["application"], pool._ssl_context) == ({"name": "secret rotation"}, None)
        assert pool._credentials is not None
        assert (pool._credentials.username, pool._credentials.source) == ("app", "orders")
        assert pool._credentials.password == USER.password


@pytest.mark.parametrize(
    ("host", "replica_set", "kind"), [("a,b", "", "Unknown"), ("a", "rs0", "ReplicaSetNoPrimary"), ("a", "", "Single")]
)
def test_the_primary_is_found_from_several_hosts_or_the_name_of_their_set(
    host: str, replica_set: str, kind: str
) -> None:
    with mongo._client(replace(USER, host=host, replica_set=replica_set), None) as client:
        assert client.topology_description.topology_type_name == kind
        assert client.options.replica_set_name == (replica_set or None)
