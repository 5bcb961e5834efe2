"""The TLS of every engine: certificates are always verified."""

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from rotation.errors import InvalidSecretError

type Address = tuple[str, int]

# Amazon's certificate authorities for RDS and DocumentDB, packaged; see certificates/README.md for source and refresh.
_AMAZON_BUNDLE = Path(__file__).parent.parent / "certificates" / "rds-global-bundle.pem"


def verified_context() -> ssl.SSLContext:
    """A context that trusts the system's store, Amazon's database CAs and the private CA in PRIVATE_CA (PEM text).

    Raises InvalidSecretError if PRIVATE_CA is no certificate: no server can be trusted by it.
    """
    return _trusting(os.environ.get("PRIVATE_CA", ""))


@cache
def _trusting(private_ca: str) -> ssl.SSLContext:
    """Reading the stores takes as long as a log-in, so it is not done between a change and the promotion again."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=_AMAZON_BUNDLE)
    if private_ca:
        try:
            context.load_verify_locations(cadata=private_ca)
        except (ssl.SSLError, TypeError):
            raise InvalidSecretError("the stack's parameter for PRIVATE_CA holds no certificate as PEM text") from None
    return context


def connect(address: Address, timeout: float) -> socket.socket:
    """A connected socket that sends at once.

    A driver's first words follow the end of the TLS handshake without an answer in between. Otherwise they would wait
    until the server acknowledges it, which Linux puts off for 40 ms: RFC 9293, section 3.7.4, and RFC 1122, 4.2.3.2.
    """
    connected = socket.create_connection(address, timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def reach(
    addresses: list[Address], context: ssl.SSLContext | None, timeout: float, greeted: Callable[[socket.socket], bool]
) -> None:
    """Connect to one of these servers, in TLS with `context`, and hang up: drivers hide why they cannot connect.

    For protocols in which TLS begins with the first byte. `greeted` greets without TLS and without a secret, and says
    whether a server of the expected kind answers: such a server speaks no TLS. Raises InvalidSecretError for it, else
    ssl.SSLCertVerificationError or OSError, of the first server if none can be reached.
    """
    failures: list[Exception] = []
    for address in addresses:
        try:
            with socket.create_connection(address, timeout) as plain:
                return _shake_hands(plain, address, context, greeted)
        except (OSError, InvalidSecretError) as failure:
            failures.append(failure)
    raise failures[0]


def _shake_hands(
    plain: socket.socket, address: Address, context: ssl.SSLContext | None, greeted: Callable[[socket.socket], bool]
) -> None:
    try:
        if context:
            context.wrap_socket(plain, server_hostname=address[0]).close()
    except ssl.SSLCertVerificationError:
        raise
    except OSError as failure:
        with suppress(OSError), socket.create_connection(address, plain.gettimeout()) as again:
            if greeted(again):
                raise InvalidSecretError(
                    f"{address[0]}:{address[1]} does not speak TLS; turn it on there, "
                    'or put "ssl": false into the secret to send passwords in the clear'
                ) from None
        raise ConnectionError(f"the connection ended before TLS began: {failure}") from None
