"""The site's own X.509 authority: it signs the certificates of modules, of the witness and of the broker."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ucm_site_api.errors import SiteStartError
from ucm_site_api.records import EndedCertificate
from ucm_site_api.settings import KeyKind
from ucm_site_api.state import AUTHORITY_CERTIFICATE, AUTHORITY_KEY, write_private

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# A module keeps the authority's certificate for as long as it stays on the wall.
_AUTHORITY_VALIDITY = timedelta(days=20 * 365)

# The clocks of a freshly booted module and of its site differ by minutes, not by hours.
_BACKDATING = timedelta(minutes=5)

# A box without a battery for its clock starts in 1970 and would sign certificates that ended long ago.
_EARLIEST_PLAUSIBLE_YEAR = 2025


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate with the key that was made for it; the key exists nowhere else. `serial` in lower-case hex."""

    private_key: str = field(repr=False)
    certificate: str
    serial: str
    not_after: datetime


class Authority:
    """An authority that is loaded, with the kind of keys it makes."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate, kind: KeyKind) -> None:
        self._key = key
        self._certificate = certificate
        self._kind = kind

    @classmethod
    def open(cls, folder: Path, kind: KeyKind, now: datetime, *, first_start: bool) -> Self:
        """The authority in this folder. Only a first start makes one: later, a lost one is not replaced silently.

        Raises:
            SiteStartError: it is not complete, or the clock is outside of its validity.
        """
        if now.year < _EARLIEST_PLAUSIBLE_YEAR:
            raise SiteStartError(f"The clock says {now.year}: set it before certificates are signed.")
        key_file, certificate_file = folder / AUTHORITY_KEY, folder / AUTHORITY_CERTIFICATE
        if first_start and not certificate_file.exists():
            _create(key_file, certificate_file, kind, now)
        try:
            authority = cls(*_load(key_file, certificate_file), kind)
        except (OSError, ValueError, TypeError) as cause:
            raise SiteStartError(
                f"The authority in {folder} is not complete; put {key_file.name} and {certificate_file.name} back "
                "from a backup, or every module has to be provisioned again."
            ) from cause
        authority._require_valid(now)
        return authority

    @property
    def certificate(self) -> str:
        """The trust anchor for the broker, PEM."""
        return _pem(self._certificate)

    def issue_client(self, common_name: str, now: datetime, validity: timedelta) -> IssuedCertificate:
        """A certificate for a client of the broker, with a key of its own."""
        key = _new_key(self._kind)
        not_after = min(now + validity, self._certificate.not_valid_after_utc)
        builder = self._builder(common_name, key, now, not_after, ExtendedKeyUsageOID.CLIENT_AUTH)
        return _issued(key, builder.sign(self._key, hashes.SHA256()))

    def issue_server(self, host: str, now: datetime, *aliases: str) -> IssuedCertificate:
        """A server's certificate for its host and other names of it, good for as long as the authority's."""
        key = _new_key(self._kind)
        not_after = self._certificate.not_valid_after_utc
        builder = self._builder(host[:64], key, now, not_after, ExtendedKeyUsageOID.SERVER_AUTH)
        names = [_general_name(name) for name in dict.fromkeys([host, *aliases])]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _issued(key, builder.sign(self._key, hashes.SHA256()))

    def revocation_list(self, ended: Iterable[EndedCertificate], now: datetime, validity: timedelta) -> bytes:
        """A signed list of certificates that are no longer accepted, PEM. Brokers refuse everybody when it expires."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _BACKDATING)
            .next_update(now + validity)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1e6)), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        for certificate in ended:
            builder = builder.add_revoked_certificate(_revoked(certificate))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)

    def _builder(
        self, common_name: str, key: PrivateKey, now: datetime, not_after: datetime, usage: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        issuer = self._certificate
        builder = _dated(_name(common_name), issuer.subject, key, now, not_after)
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._identifier(), critical=False)
        )

    def _require_valid(self, now: datetime) -> None:
        first, last = self._certificate.not_valid_before_utc, self._certificate.not_valid_after_utc
        if not first <= now <= last:
            raise SiteStartError(f"The authority is valid from {first:%F} to {last:%F}, and the clock says {now:%F}.")


def serial_of(certificate: str) -> str:
    """The serial number of a PEM certificate, as `IssuedCertificate` has it.

    Raises:
        ValueError: not a certificate.
    """
    return f"{x509.load_pem_x509_certificate(certificate.encode()).serial_number:x}"


def _revoked(certificate: EndedCertificate) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(int(certificate.serial, 16))
    return builder.revocation_date(certificate.ended_at).build()


def _create(key_file: Path, certificate_file: Path, kind: KeyKind, now: datetime) -> None:
    key = _new_key(kind)
    name = _name(f"UCM site authority {x509.random_serial_number():x}"[:40])
    certificate = (
        _dated(name, name, key, now, now + _AUTHORITY_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The key first: a first start that was cut short has no certificate yet, and begins anew.
    write_private(key_file, _key_pem(key).encode())
    write_private(certificate_file, _pem(certificate).encode())


def _load(key_file: Path, certificate_file: Path) -> tuple[PrivateKey, x509.Certificate]:
    key = load_pem_private_key(key_file.read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("key and certificate do not belong together")
    return key, certificate


def _new_key(kind: KeyKind) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _dated(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATING)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _issued(key: PrivateKey, certificate: x509.Certificate) -> IssuedCertificate:
    return IssuedCertificate(
        private_key=_key_pem(key),
        certificate=_pem(certificate),
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _key_pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
