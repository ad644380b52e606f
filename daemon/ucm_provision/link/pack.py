"""A configuration as the bytes that are staged on a module: one serialized ModuleConfig."""

from __future__ import annotations

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    Connection,
    KeepCredentials,
    ModuleConfiguration,
    PasswordCredentials,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
    WifiNetwork,
)
from ucm_provision.link.messages import ucm_link_pb2 as pb

_KEEP_VERSION = 1
_TIME_PROTOCOLS = {TimeProtocol.NTP: pb.TimeSync.NTP, TimeProtocol.HTTP: pb.TimeSync.HTTP}


def pack(configuration: ModuleConfiguration) -> bytes:
    """The bytes to stage. The same configuration always gives the same bytes, so their digest names it.

    Raises:
        UcmError: ``module_refused`` for what no module takes: more than three networks, more than
            16 KiB, a port beyond 32 bits, text that is no Unicode.
    """
    if len(configuration.wifi) > policy.WIFI_NETWORKS_LARGEST:
        raise UcmError(Code.MODULE_REFUSED, f"a module takes {policy.WIFI_NETWORKS_LARGEST} Wi-Fi networks at most")
    try:
        packed = _message(configuration).SerializeToString(deterministic=True)
    except (ValueError, TypeError):  # protobuf's own words may quote the value, and that may be a secret
        raise UcmError(Code.MODULE_REFUSED, "the configuration cannot be written as a message") from None
    if len(packed) > policy.CONFIGURATION_LARGEST:
        most = policy.CONFIGURATION_LARGEST
        raise UcmError(Code.MODULE_REFUSED, f"the configuration has {len(packed)} bytes, a module takes {most}")
    return packed


def _message(configuration: ModuleConfiguration) -> pb.ModuleConfig:
    connection = configuration.connection
    message = pb.ModuleConfig(
        device_id=configuration.device_id,
        hardware_id=connection.hardware_id,
        channel_id=connection.channel_id,
        mqtt_host=connection.mqtt_host,
        mqtt_port=connection.mqtt_port,
        time_sync=_time_sync(connection.time_source),
        wifi=[_wifi(network) for network in configuration.wifi],
    )
    _add_credentials(message, connection)
    return message


def _add_credentials(message: pb.ModuleConfig, connection: Connection) -> None:
    match connection.credentials:
        case PasswordCredentials(username, password):
            message.password.CopyFrom(pb.MqttPassword(username=username, password=password.reveal()))
        case TlsCredentials(key, certificate, ca_chain):
            tls = pb.MqttTls(private_key=key.reveal(), certificate=certificate, ca_chain=ca_chain)
            message.tls.CopyFrom(tls)
        case KeepCredentials():
            message.keep.CopyFrom(pb.KeepCredentials(version=_KEEP_VERSION))


def _time_sync(source: TimeSource) -> pb.TimeSync:
    return pb.TimeSync(protocol=_TIME_PROTOCOLS[source.protocol], host=source.host, port=source.port)


def _wifi(network: WifiNetwork) -> pb.Wifi:
    return pb.Wifi(
        ssid=network.ssid, passphrase=network.passphrase.reveal(), hidden=network.hidden, bssid=network.bssid
    )
