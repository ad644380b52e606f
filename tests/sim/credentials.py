"""A certificate authority for the tests, made afresh for each."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ucm_sim.messages import ucm_link_pb2 as pb

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_der(self) -> bytes:
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, path: Path) -> Path:
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + self.certificate.public_bytes(Encoding.PEM))
        return path


class Authority:
    """Signs certificates; `issue(days=…)` counts from now and may be negative."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        self.certificate = self._sign(self._name, self._key, 3650, is_authority=True)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def issue(self, common_name: str, days: int = 30) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(key, self._sign(_name(common_name), key, days, is_authority=False))

    def credentials(self, common_name: str, *, trust: "Authority | None" = None) -> pb.MqttTls:
        """What a module gets: its key and certificate, and whom to trust."""
        issued = self.issue(common_name)
        return pb.MqttTls(
            private_key=issued.key_der,
            certificate=issued.certificate_der,
            ca_chain=[(trust or self).der],
        )

    def server_context(self, folder: Path, *, days: int = 30, clients: "Authority | None" = None) -> ssl.SSLContext:
        """A broker's TLS settings: it demands client certificates of `clients`, or of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The host name is one that nobody connects to: modules must not care.
        context.load_cert_chain(self.issue("elsewhere.example", days).write(folder / "server.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=(clients or self).der)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, *, is_authority: bool
    ) -> x509.Certificate:
        end = dt.datetime.now(dt.UTC) + days * DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(end, dt.datetime.now(dt.UTC)) - 10 * DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]),
                critical=False,
            )
            .sign(self._key, SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
