"""The API's answers, checked field by field before anything acts on them."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    Connection,
    Device,
    MqttProtocol,
    PasswordCredentials,
    ProvisionArguments,
    Provisioned,
    TimeProtocol,
    TimeSource,
    parse_hardware_id,
)
from ucm_provision.core.secret import Secret
from ucm_provision.credentials import (
    BrokerJson,
    CredentialsInvalidError,
    Host,
    Port,
    broker_access,
    decode,
    port_number,
)

T = TypeVar("T")

# Ids are opaque, but they become parts of URLs, topics and file names: a letter or digit first, nothing exotic after.
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}\Z")]
_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class _ConfigJson(BrokerJson, kw_only=True):
    time_sync_protocol: str
    time_sync_host: Host
    time_sync_port: Port
    hardware_id: _Text
    channel_id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z_-]{1,32}\Z")]


class _AddedJson(msgspec.Struct):
    """The answer to every kind; a Gateway's device has a key of its own."""

    device_id: _Id | None = None
    gateway_device_id: _Id | None = None
    slug: _Text | None = None


class _ConfiguredJson(_AddedJson):
    config: msgspec.Raw = msgspec.Raw(b"null")


class _ConnectivityJson(msgspec.Struct):
    status: str | None = None


class _CommunicationJson(msgspec.Struct):
    hardware_id: _Text | None = None


class _DeviceJson(msgspec.Struct):
    id: _Id
    slug: _Text
    name: _Text
    site_id: _Id
    connectivity: _ConnectivityJson | None = None
    communication: _CommunicationJson | None = None
    properties: dict[str, object] | None = None


class _DeviceAnswer(msgspec.Struct):
    device: _DeviceJson


class _SiteJson(msgspec.Struct):
    id: _Id


class _SiteAnswer(msgspec.Struct):
    site: _SiteJson


def parse_site_id(body: bytes) -> str:
    """The id in ``{"site": {…}}``.

    Raises:
        UcmError: ``api_answer_invalid``, as with every function here.
    """
    return _decode(body, _SiteAnswer).site.id


def parse_added(body: bytes, asked: ProvisionArguments) -> Provisioned:
    """The answer to a provisioning call of a kind that is not configured."""
    del asked  # such an answer repeats nothing of it
    answer = _decode(body, _AddedJson)
    return Provisioned(_device_id(answer), answer.slug or "")


def parse_provisioned(body: bytes, asked: ProvisionArguments) -> Provisioned:
    """The answer to a provisioning call that hands out a ``config``.

    Beside the types it checks that the answer is about the module asked for, in the protocol asked
    for, and that private key and certificate belong together. Takes some milliseconds of CPU.
    """
    answer = _decode(body, _ConfiguredJson)
    try:
        connection = _connection(decode(bytes(answer.config), _ConfigJson, "$.config"))
    except CredentialsInvalidError as error:
        raise _invalid(str(error)) from None
    if connection.hardware_id != asked.hardware_id:
        raise _invalid("another module's - at `$.config.hardware_id`")
    # A module that was to use TLS must not end up sending a password in clear text.
    given = MqttProtocol.MQTT if isinstance(connection.credentials, PasswordCredentials) else MqttProtocol.MQTTS
    if asked.protocol not in (None, given):
        raise _invalid(f"{asked.protocol} was asked for, {given} given - at `$.config.mqtt_protocol`")
    return Provisioned(_device_id(answer), answer.slug or "", connection, Secret(bytes(answer.config)))


def _device_id(answer: _AddedJson) -> str:
    device_id = answer.device_id or answer.gateway_device_id
    if device_id is None:
        raise _invalid("Object missing required field `device_id`")
    return device_id


def parse_device(body: bytes) -> Device:
    """The record in ``{"device": {…}}``, with whatever of its expanded parts are there."""
    device = _decode(body, _DeviceAnswer).device
    communication = device.communication or _CommunicationJson()
    connectivity = device.connectivity or _ConnectivityJson()
    return Device(
        id=device.id,
        slug=device.slug,
        name=device.name,
        site_id=device.site_id,
        hardware_id=(communication.hardware_id or "").strip().upper(),
        online={"ONLINE": True, "OFFLINE": False}.get((connectivity.status or "").upper()),
        config_generation=_generation(device.properties or {}),
    )


def _connection(config: _ConfigJson) -> Connection:
    access = broker_access(config, "$.config")
    return Connection(
        hardware_id=_hardware_id(config.hardware_id),
        channel_id=config.channel_id,
        mqtt_host=access.host,
        mqtt_port=access.port,
        credentials=access.credentials,
        time_source=TimeSource(
            _time_protocol(config.time_sync_protocol),
            config.time_sync_host,
            port_number(config.time_sync_port, "$.config.time_sync_port"),
        ),
    )


def _hardware_id(text: str) -> str:
    try:
        return parse_hardware_id(text)
    except ValueError:
        raise CredentialsInvalidError("no hardware id - at `$.config.hardware_id`") from None


def _time_protocol(text: str) -> TimeProtocol:
    # Servers of this family have answered in lower case too.
    try:
        return TimeProtocol(text.upper())
    except ValueError:
        raise CredentialsInvalidError("neither NTP nor HTTP - at `$.config.time_sync_protocol`") from None


def _generation(properties: dict[str, object]) -> int | None:
    """What the module registered last. Its own words, passed on by the API: anything may stand there."""
    value = properties.get("config_generation")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= policy.GENERATION_LARGEST:
        return value
    return None


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return decode(body, shape)
    except CredentialsInvalidError as error:
        raise _invalid(str(error)) from None


def _invalid(detail: str) -> UcmError:
    return UcmError(Code.API_ANSWER_INVALID, detail)
