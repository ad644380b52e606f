"""The page's TLS on the LAN: with the operator's certificate, or one that the daemon makes for itself and keeps."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ucm_provision.core import policy
from ucm_provision.private_file import write_private

_COMMON_NAME_LONGEST = 64


def tls_context(chain: Path, key: Path | None = None) -> ssl.SSLContext:
    """What serves with that certificate. Without ``key``, the file has both.

    Raises:
        OSError, ssl.SSLError: they cannot be read, or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, key)
    return context


def own_certificate(path: Path, names: Collection[str], now: float) -> str:
    """Makes sure that the file has a certificate of this box with its key, and that it lasts; returns its fingerprint.

    Nobody vouches for it, so browsers ask once. It stays the same for as long as it can, also under other names.

    Args:
        names: Host names and addresses under which browsers reach this box.
        now: Seconds since the epoch.

    Raises:
        OSError: the file cannot be read or written.
    """
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    certificate = _kept(path)
    if certificate is None or not _lasts(certificate, at):
        certificate, key = _made(sorted(names), at)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, certificate.public_bytes(Encoding.PEM) + pem)
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _kept(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _lasts(certificate: x509.Certificate, at: dt.datetime) -> bool:
    """One that is not valid yet was made by a clock that was ahead."""
    renewed = certificate.not_valid_after_utc - dt.timedelta(days=policy.PAGE_CERTIFICATE_RENEWED_DAYS)
    return certificate.not_valid_before_utc <= at < renewed


def _made(names: list[str], at: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_COMMON_NAME_LONGEST])])
    days = dt.timedelta(days=policy.PAGE_CERTIFICATE_DAYS)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - dt.timedelta(days=1))
        .not_valid_after(at + days)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()), key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
