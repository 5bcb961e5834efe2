"""The first words with a server, before a driver has the connection. Servers of each kind are in tests/contract."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest

from rotation.engines import mongo, postgres
from rotation.engines import redis as redis_engine
from rotation.errors import InvalidSecretError
from rotation.model import Credentials
from tests.unit.test_tls import hang_up, serving

APP = Credentials("app", "current-7Tz", "127.0.0.1")
NO_TLS = 'does not speak TLS; turn it on there, or put "ssl": false into the secret to send passwords in the clear'
# Source: https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")

type Open = Callable[[Credentials], socket.socket]


@pytest.mark.parametrize("open_socket", [postgres._socket, redis_engine._socket])
def test_a_server_has_a_second_more_than_it_gives_itself_for_a_statement(open_socket: Open) -> None:
    with serving(lambda client: client.recv(1)) as (_, port), open_socket(replace(APP, port=port, ssl=False)) as opened:
        assert opened.gettimeout() == 6


@pytest.mark.parametrize("answer", [b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_a_redis_that_speaks_no_tls_is_told_as_such(answer: bytes) -> None:
    asked: list[bytes] = []

    def speak(client: socket.socket) -> None:
        asked.append(client.recv(16))
        client.sendall(answer)

    with serving(hang_up, speak) as (_, port), pytest.raises(InvalidSecretError) as error:
        redis_engine._socket(replace(APP, port=port))

    assert asked == [b"PING\r\n"]
    assert str(error.value) == f"127.0.0.1:{port} {NO_TLS}"


@pytest.mark.parametrize("second", [hang_up, lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n")])
def test_something_else_than_a_redis_gives_no_answer(second: Callable[[socket.socket], object]) -> None:
    with serving(hang_up, second) as (_, port), pytest.raises(ConnectionError, match=r"^no TLS connection: .+"):
        redis_engine._socket(replace(APP, port=port))


def test_a_redis_that_is_silent_for_a_second_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_engine, "_PROBE_TIMEOUT", 0.05)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not redis_engine._speaks_in_plain(replace(APP, port=silent.getsockname()[1]))


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (b"N", InvalidSecretError, f"127.0.0.1:{{}} {NO_TLS}"),
        (b"E", ConnectionError, "asked for TLS, it answered b'E' instead of S or N"),
        (b"", ConnectionError, "asked for TLS, it answered b'' instead of S or N"),
    ],
)
def test_what_a_postgresql_answers_that_is_asked_for_tls(answer: bytes, kind: type[Exception], said: str) -> None:
    asked: list[bytes] = []

    def speak(client: socket.socket) -> None:
        asked.append(client.recv(16))
        client.sendall(answer)

    with serving(speak) as (_, port), pytest.raises(kind) as error:
        postgres._socket(replace(APP, port=port))

    assert asked == [SSL_REQUEST]
    assert str(error.value) == said.format(port)


def test_a_postgresql_that_agrees_to_tls_is_spoken_to_in_it() -> None:
    begun: list[bytes] = []

    def speak(client: socket.socket) -> None:
        assert client.recv(16) == SSL_REQUEST
        client.sendall(b"S")
        begun.append(client.recv(2))

    with serving(speak) as (_, port), pytest.raises((ssl.SSLError, OSError)):
        postgres._socket(replace(APP, port=port))

    # A TLS record with a handshake in it.
    assert begun == [b"\x16\x03"]


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [(bytes(12) + b"\xdd\x07\0\0", True), (bytes(16), False), (b"HTTP/1.1 400 Bad", False), (b"", False)],
)
def test_a_mongodb_is_known_by_the_kind_of_its_message(answer: bytes, is_one: bool) -> None:
    asked: list[bytes] = []

    def speak(client: socket.socket) -> None:
        asked.append(client.recv(64))
        client.sendall(answer)

    with serving(speak) as address, socket.create_connection(address) as plain:
        assert mongo._greeted(plain) is is_one

    # Its length, two ids, OP_MSG, no flags, one section of kind 0: the document {"hello": 1, "$db": "admin"}.
    assert asked == [
        b"\x34\0\0\0"
        + bytes(8)
        + b"\xdd\x07\0\0"
        + bytes(5)
        + b"\x1f\0\0\0"
        + b"\x10hello\0\1\0\0\0"
        + b"\2$db\0\6\0\0\0admin\0"
        + b"\0"
    ]
