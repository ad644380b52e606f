"""A home-made certificate authority, for brokers and modules that are right, wrong, early and late."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ucm_provision.core.model import TlsCredentials
from ucm_provision.core.secret import Secret

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
DAY = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def key_pem(self, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
        return self.key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

    @property
    def key_der(self) -> bytes:
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def files(self, folder: Path, stem: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        certificate.write_text(self.certificate_pem)
        key.write_text(self.key_pem())
        return certificate, key


def new_key(*, bits: int | None = None) -> Key:
    return ec.generate_private_key(ec.SECP256R1()) if bits is None else rsa.generate_private_key(65537, bits)


class Authority:
    def __init__(self, common_name: str = "Test CA", *, parent: "Authority | None" = None) -> None:
        key = new_key()
        self.itself = _sign(common_name, key, parent.itself if parent else None, ca=True)

    def issue(
        self,
        common_name: str = HARDWARE_ID,
        *,
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
        bits: int | None = None,
    ) -> Issued:
        return _sign(common_name, new_key(bits=bits), self.itself, begins=begins, ends=ends)

    def credentials(self, issued: Issued, *anchors: Issued) -> TlsCredentials:
        """What a module would hold: ``issued``, trusting ``anchors`` (this CA by default)."""
        chain = tuple(anchor.certificate_der for anchor in anchors or (self.itself,))
        return TlsCredentials(Secret(issued.key_der), issued.certificate_der, chain)


def _sign(
    common_name: str,
    key: Key,
    issuer: Issued | None,
    *,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    ca: bool = False,
) -> Issued:
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else _name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Issued(certificate, key)
