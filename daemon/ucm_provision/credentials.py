"""How to reach a broker, out of JSON: the ``config`` object of the API and the witness's file alike.

Both carry the same keys (``mqtt_host``, ``mqtt_port``, ``mqtt_protocol``, ``mqtt_credentials``) with
PEM texts; the daemon works with DER. Complaints name the field and never its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ucm_provision.core import policy
from ucm_provision.core.model import MqttProtocol, PasswordCredentials, TlsCredentials
from ucm_provision.core.secret import Secret

T = TypeVar("T")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# The largest that an ESP32's RSA accelerator takes.
_RSA_BITS_LARGEST: Final = 4096


class CredentialsInvalidError(ValueError):
    """The text is no usable description of a broker connection. Says which field and why, never its value."""


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where a broker is and how to sign in."""

    host: str
    port: int
    credentials: PasswordCredentials | TlsCredentials


# ---- the JSON ------------------------------------------------------------------------------------

# A name, an IPv4 or an IPv6 address (with zone): whatever a resolver takes, and nothing a URL or a log would trip over.
Host = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_:][0-9A-Za-z_.:%-]{0,252}\Z")]
# Go and JavaScript servers of this family have sent ports either way.
Port = (
    Annotated[int, msgspec.Meta(ge=1, le=65535)]
    | Annotated[str, msgspec.Meta(pattern=r"\A0*[1-9][0-9]{0,4}\Z", max_length=8)]
)
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=policy.PEM_LARGEST)]


class CredentialsJson(msgspec.Struct):
    protocol: str | None = None
    username: _Word | None = None
    password: _Word | None = None
    private_key: _Pem | None = None
    certificate: _Pem | None = None
    ca_chain: _Pem | None = None


class BrokerJson(msgspec.Struct):
    """The part of a ``config`` object that concerns the broker.

    ``mqtt_post`` is how the API's documentation spells ``mqtt_port`` in one place.
    """

    mqtt_host: Host
    mqtt_credentials: CredentialsJson
    mqtt_port: Port | None = None
    mqtt_post: Port | None = None
    mqtt_protocol: str | None = None


def parse_broker_access(text: bytes) -> BrokerAccess:
    """Reads a JSON object with the broker's keys.

    Raises:
        CredentialsInvalidError: it is none, or something in it is missing or wrong.
    """
    return broker_access(decode(text, BrokerJson), "$")


def decode(text: bytes, shape: type[T], path: str = "$") -> T:
    """JSON to ``shape``. ``path`` is where it stands in its document, for complaints.

    Raises:
        CredentialsInvalidError: with the reason and the path of the field.
    """
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8"
        raise CredentialsInvalidError(_below(reason, path)) from None
    except RecursionError:
        raise CredentialsInvalidError("nested too deeply") from None


def _below(reason: str, path: str) -> str:
    """A complaint about a part of a document, with the place in the whole of it."""
    at, here = " - at `$", "" if path == "$" else f" - at `{path}`"
    return reason.replace(at, f" - at `{path}") if at in reason else reason + here


def broker_access(json: BrokerJson, path: str) -> BrokerAccess:
    """What ``json`` means. ``path`` is where it stands in its document, for complaints.

    Raises:
        CredentialsInvalidError: fields are missing, contradict each other, or do not belong together.
    """
    port = json.mqtt_port if json.mqtt_port is not None else json.mqtt_post
    if port is None:
        raise CredentialsInvalidError(f"missing - at `{path}.mqtt_port`")
    return BrokerAccess(json.mqtt_host, port_number(port, f"{path}.mqtt_port"), _credentials(json, path))


def port_number(port: int | str, path: str) -> int:
    number = int(port)
    if number > 65535:
        raise CredentialsInvalidError(f"no port number - at `{path}`")
    return number


def _protocol(json: BrokerJson, path: str) -> MqttProtocol:
    """The API's documentation has the selector inside the credentials, its clients want it beside them."""
    said = {text.upper() for text in (json.mqtt_protocol, json.mqtt_credentials.protocol) if text}
    if len(said) != 1:
        reason = "contradicts `mqtt_credentials.protocol`" if said else "missing"
        raise CredentialsInvalidError(f"{reason} - at `{path}.mqtt_protocol`")
    try:
        return MqttProtocol(said.pop())
    except ValueError:
        raise CredentialsInvalidError(f"neither MQTT nor MQTTS - at `{path}.mqtt_protocol`") from None


def _credentials(json: BrokerJson, path: str) -> PasswordCredentials | TlsCredentials:
    path_of_credentials = f"{path}.mqtt_credentials"
    if _protocol(json, path) is MqttProtocol.MQTTS:
        return _tls_credentials(json.mqtt_credentials, path_of_credentials)
    username = _present(json.mqtt_credentials.username, f"{path_of_credentials}.username")
    password = _present(json.mqtt_credentials.password, f"{path_of_credentials}.password")
    return PasswordCredentials(username, Secret(password))


def _present(value: str | None, path: str) -> str:
    if value is None:
        raise CredentialsInvalidError(f"missing - at `{path}`")
    return value


# ---- PEM to DER ----------------------------------------------------------------------------------


def _tls_credentials(json: CredentialsJson, path: str) -> TlsCredentials:
    key = _private_key(_present(json.private_key, f"{path}.private_key"), f"{path}.private_key")
    # The module presents its own certificate and nothing else; further ones in the text are not for it.
    leaf = _certificates(_present(json.certificate, f"{path}.certificate"), f"{path}.certificate")[0]
    anchors = _certificates(_present(json.ca_chain, f"{path}.ca_chain"), f"{path}.ca_chain")
    if _public_der(key.public_key()) != _public_der(leaf.public_key()):
        raise CredentialsInvalidError(f"not the private key's certificate - at `{path}.certificate`")
    return TlsCredentials(
        private_key=Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        certificate=leaf.public_bytes(Encoding.DER),
        ca_chain=tuple(anchor.public_bytes(Encoding.DER) for anchor in anchors),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
    )


def _pem(text: str) -> bytes:
    # Environment files and some servers carry PEM on one line, with the two characters \ and n.
    return text.replace("\\r", "").replace("\\n", "\n").encode()


def _private_key(text: str, path: str) -> PrivateKey:
    try:
        key = load_pem_private_key(_pem(text), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialsInvalidError(f"no unencrypted PEM private key - at `{path}`") from None
    if not isinstance(key, PrivateKey):
        raise CredentialsInvalidError(f"neither an RSA nor an EC key - at `{path}`")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size > _RSA_BITS_LARGEST:
        raise CredentialsInvalidError(f"an RSA key of more than {_RSA_BITS_LARGEST} bits - at `{path}`")
    return key


def _certificates(text: str, path: str) -> list[x509.Certificate]:
    try:
        certificates = x509.load_pem_x509_certificates(_pem(text))
    except ValueError:
        raise CredentialsInvalidError(f"no PEM certificate - at `{path}`") from None
    if len(certificates) > policy.CA_CERTIFICATES_LARGEST:
        raise CredentialsInvalidError(f"more than {policy.CA_CERTIFICATES_LARGEST} certificates - at `{path}`")
    return certificates


def _public_der(key: object) -> bytes | None:
    """The key's SubjectPublicKeyInfo; None for a kind that no module has."""
    if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None


def common_name(certificate: bytes) -> str | None:
    """The common name of a DER certificate's subject, where it has exactly one."""
    try:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except ValueError:
        return None
    return str(names[0].value) if len(names) == 1 else None
