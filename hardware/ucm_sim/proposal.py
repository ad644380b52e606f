"""Checks a proposed configuration at Commit, and fills in what it takes over from the present one."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from google.protobuf.message import DecodeError

from ucm_sim.messages import ucm_link_pb2 as pb

MOST_NETWORKS = 3


class ProposalError(Exception):
    """The configuration cannot be used; the text is the reply's detail and holds no secret."""


def resolve(
    staged: bytes, hardware_id: str, active: pb.ModuleConfig | None, known_wifi: list[pb.Wifi]
) -> pb.ModuleConfig:
    """Return the complete configuration; raises ProposalError.

    `keep` and an empty list of networks are resolved from the active configuration. Without one, an
    empty list means the networks that the module knows already.
    """
    try:
        config = pb.ModuleConfig.FromString(staged)
    except DecodeError as failure:
        raise ProposalError("the configuration does not parse") from failure
    _check_addresses(config, hardware_id)
    _resolve_credentials(config, active)
    if not config.wifi:
        config.wifi.extend(active.wifi if active else known_wifi)
    return config


def _check_addresses(config: pb.ModuleConfig, hardware_id: str) -> None:
    if config.hardware_id != hardware_id:
        raise ProposalError("hardware_id is not this module's")
    if not config.mqtt_host or not 1 <= config.mqtt_port <= 65535:
        raise ProposalError("mqtt_host or mqtt_port is missing or out of range")
    if len(config.wifi) > MOST_NETWORKS:
        raise ProposalError(f"more than {MOST_NETWORKS} networks")
    if config.HasField("time_sync"):
        _check_time_sync(config.time_sync)


def _check_time_sync(source: pb.TimeSync) -> None:
    if source.protocol not in (pb.TimeSync.NTP, pb.TimeSync.HTTP):
        raise ProposalError(f"unknown time_sync.protocol {source.protocol}")
    if not source.host or not 1 <= source.port <= 65535:
        raise ProposalError("time_sync.host or time_sync.port is missing or out of range")


def _resolve_credentials(config: pb.ModuleConfig, active: pb.ModuleConfig | None) -> None:
    kind = config.WhichOneof("credentials")
    if kind is None:
        raise ProposalError("no credentials")
    if kind == "tls":
        _check_pair(config.tls)
    elif kind == "keep":
        _keep_credentials(config, active)


def _keep_credentials(config: pb.ModuleConfig, active: pb.ModuleConfig | None) -> None:
    if active is None:
        raise ProposalError("keep, and no configuration is active")
    if active.device_id != config.device_id:
        raise ProposalError("keep, and the active configuration is of another device_id")
    if active.WhichOneof("credentials") == "tls":
        config.tls.CopyFrom(active.tls)
    else:
        config.password.CopyFrom(active.password)


def _check_pair(tls: pb.MqttTls) -> None:
    try:
        key = load_der_private_key(tls.private_key, password=None).public_key()
        certificate = x509.load_der_x509_certificate(tls.certificate).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is cut off: parsers may quote what they could not read.
        raise ProposalError("the private key or the certificate does not parse") from None
    described = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_bytes(*described) != certificate.public_bytes(*described):
        raise ProposalError("the private key and the certificate do not belong together")
