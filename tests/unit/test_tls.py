"""Reaching a server before its driver does: TLS or none, and which words for what is in the way."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rotation.errors import InvalidSecretError
from rotation.tls import Address, reach, verified_context
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.servers import free_port

HOST = "127.0.0.1"
GREETING, ANSWER = b"hello\n", b"welcome\n"


def greeted(plain: socket.socket) -> bool:
    plain.sendall(GREETING)
    return plain.recv(16) == ANSWER


@contextmanager
def serving(*serve: Callable[[socket.socket], object]) -> Iterator[Address]:
    """The address of something that does the first of these with its first connection, and so on."""
    with closing(socket.create_server((HOST, 0))) as listener:

        def accept() -> None:
            for each in serve:
                client, _ = listener.accept()
                with client:
                    each(client)

        thread = threading.Thread(target=accept)
        thread.start()
        yield (HOST, listener.getsockname()[1])
        thread.join()


def hang_up(client: socket.socket) -> None:
    """Ends the connection as soon as something comes."""
    client.recv(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def welcome(client: socket.socket) -> None:
    assert client.recv(16) == GREETING
    client.sendall(ANSWER)


def speak_tls(authority: CertificateAuthority, folder: Path) -> Callable[[socket.socket], None]:
    made = authority.server_certificate()
    (folder / "server.pem").write_text(made.certificate_pem + made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    def speak(client: socket.socket) -> None:
        try:
            with context.wrap_socket(client, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            # A client that does not trust it hangs up.
            return

    return speak


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.made()


@pytest.fixture
def context(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Trusts the authority."""
    monkeypatch.setenv("PRIVATE_CA", authority.pem)
    return verified_context()


def test_a_server_that_speaks_tls_is_reached(
    authority: CertificateAuthority, context: ssl.SSLContext, tmp_path: Path
) -> None:
    with serving(speak_tls(authority, tmp_path)) as address:
        reach([address], context, 5, greeted)


def test_a_server_whose_certificate_is_of_nobody_known_is_not_greeted_without_tls(
    context: ssl.SSLContext, tmp_path: Path
) -> None:
    with (
        serving(speak_tls(CertificateAuthority.made("Another CA"), tmp_path)) as address,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        reach([address], context, 5, greeted)


def test_a_certificate_has_to_be_for_the_name_in_the_secret(
    authority: CertificateAuthority, context: ssl.SSLContext, tmp_path: Path
) -> None:
    with (
        serving(speak_tls(authority, tmp_path)) as (_, port),
        pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.1'"),
    ):
        # Another way to write the same address.
        reach([("127.1", port)], context, 5, greeted)


def test_without_tls_a_server_is_only_connected_to() -> None:
    received: list[bytes] = []
    with serving(lambda client: received.append(client.recv(16))) as address:
        reach([address], None, 5, greeted)

    assert received == [b""]


def test_a_server_of_the_expected_kind_that_speaks_no_tls_is_told_as_such(context: ssl.SSLContext) -> None:
    with serving(hang_up, welcome) as (host, port), pytest.raises(InvalidSecretError) as error:
        reach([(host, port)], context, 5, greeted)

    assert str(error.value) == (
        f'127.0.0.1:{port} does not speak TLS; turn it on there, or put "ssl": false into the secret to send '
        "passwords in the clear"
    )


@pytest.mark.parametrize("again", [hang_up, lambda client: client.sendall(b"220 mail\r\n")])
def test_a_server_of_another_kind_or_none_gives_no_answer(
    context: ssl.SSLContext, again: Callable[[socket.socket], object]
) -> None:
    with (
        serving(hang_up, again) as address,
        pytest.raises(ConnectionError, match=r"^the connection ended before TLS began: .*(reset|EOF)"),
    ):
        reach([address], context, 5, greeted)


def test_any_of_several_servers_is_enough(context: ssl.SSLContext) -> None:
    with serving(lambda client: client.recv(16)) as address:
        reach([(HOST, free_port()), address], None, 5, greeted)


def test_if_no_server_can_be_reached_the_first_ones_failure_is_told(context: ssl.SSLContext) -> None:
    with serving(hang_up, welcome) as (host, port), pytest.raises(InvalidSecretError, match=f"^{HOST}:{port} "):
        reach([(host, port), (HOST, free_port())], context, 5, greeted)


def test_a_server_that_does_not_go_on_is_waited_for_no_longer_than_is_said(context: ssl.SSLContext) -> None:
    with closing(socket.create_server((HOST, 0))) as silent, pytest.raises(ConnectionError, match="timed out"):
        reach([silent.getsockname()], context, 0.1, greeted)


def test_a_context_trusts_amazon_and_the_private_ca_and_checks_names(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRIVATE_CA", raising=False)
    plain = verified_context()
    monkeypatch.setenv("PRIVATE_CA", authority.pem)
    private = verified_context()

    assert (plain.verify_mode, plain.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert private.cert_store_stats()["x509"] == plain.cert_store_stats()["x509"] + 1
    assert any("Amazon RDS" in str(each["subject"]) for each in plain.get_ca_certs())


@pytest.mark.parametrize(
    "text", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "é"]
)
def test_a_private_ca_that_is_no_certificate_is_told_as_such(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_CA", text)

    with pytest.raises(
        InvalidSecretError,
        match=f"^{re.escape("the stack's parameter for PRIVATE_CA holds no certificate as PEM text")}$",
    ):
        verified_context()
