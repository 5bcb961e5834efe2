"""Certificate authorities made on the spot, for servers on the loopback interface."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ServerCertificate:
    """A server's certificate and its private key, both as PEM text."""

    certificate_pem: str
    key_pem: str = field(repr=False)


@dataclass(frozen=True)
class CertificateAuthority:
    """Signs certificates for 127.0.0.1 and localhost. Two authorities never trust each other's."""

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def made(cls, name: str = "Local test CA") -> Self:
        """A new self-signed authority, valid for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, subject, key.public_key(), datetime.now(UTC) + _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(builder.sign(key, SHA256()), key)

    @property
    def pem(self) -> str:
        """What a client has to trust."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def server_certificate(self, *, expired: bool = False, names: Sequence[str] = ()) -> ServerCertificate:
        """A certificate for 127.0.0.1, localhost and `names`: good for a day, or expired since an hour ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = datetime.now(UTC) + (-timedelta(hours=1) if expired else _DAY)
        builder = _builder(_name("localhost"), self.certificate.subject, key.public_key(), ends)
        hosts = [x509.DNSName(name) for name in ("localhost", *names)]
        subject = x509.SubjectAlternativeName([*hosts, x509.IPAddress(IPv4Address("127.0.0.1"))])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(subject, critical=False)
        builder = builder.add_extension(signer, critical=False)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        return ServerCertificate(
            builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode(),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(ends - 2 * _DAY).not_valid_after(ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
