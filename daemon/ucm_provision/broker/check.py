"""Tries a module's new connection from this box, before the module gets it."""

from __future__ import annotations

from typing import Literal

from ucm_provision.broker.session import mqtt_session, own_identifier
from ucm_provision.broker.time_source import ask_time
from ucm_provision.broker.timing import STANDARD, Timing
from ucm_provision.core.errors import UcmError
from ucm_provision.core.hosts import is_loopback
from ucm_provision.core.model import Connection, KeepCredentials, TlsCredentials
from ucm_provision.core.text import one_line
from ucm_provision.credentials import BrokerAccess, common_name

# X.509's own bound for a common name (ub-common-name of RFC 5280).
_COMMON_NAME_SHOWN = 64

_LOOPBACK_TIME_SOURCE = (
    "The API names a loopback address as the time source: to a module, that is the module itself. "
    "If modules get no time, set override.time_sync."
)


class ConnectionCheck:
    """:class:`~ucm_provision.core.ports.BrokerCheck`: connects as the module would, under a client id of its own.

    It subscribes to the module's command topic and never publishes. A refusal is certain, a grant is
    not: some brokers grant every subscription. Topic rights are proven by the module's own messages.

    Args:
        time_source_overridden: The time source is the operator's choice. The API's own loopback address
            means the module itself to a module, so that asking this box would prove nothing.
        mode: ``warn`` turns failures into warnings, for a box on another network than its modules.
    """

    def __init__(
        self,
        *,
        time_source_overridden: bool = False,
        mode: Literal["strict", "warn"] = "strict",
        timing: Timing = STANDARD,
    ) -> None:
        self._time_source_overridden = time_source_overridden
        self._mode = mode
        self._timing = timing

    async def check(self, connection: Connection) -> list[str]:
        """Tries broker and time source.

        Returns:
            Warnings, a sentence each.

        Raises:
            UcmError: ``broker_…``, ``mqtt_…`` or ``time_source_failed``; never in ``warn`` mode.
        """
        warnings = _common_name_warnings(connection)
        for attempt in (self._try_broker, self._try_time_source):
            try:
                warnings += await attempt(connection)
            except UcmError as failure:
                if self._mode == "strict":
                    raise
                warnings.append(str(failure))
        return warnings

    async def _try_broker(self, connection: Connection) -> list[str]:
        assert not isinstance(connection.credentials, KeepCredentials), "what the module keeps is not known here"
        access = BrokerAccess(connection.mqtt_host, connection.mqtt_port, connection.credentials)
        async with mqtt_session(access, own_identifier("check"), self._timing) as session:
            await session.expect_grant(_command_topic(connection), self._timing.suback)
        return []

    async def _try_time_source(self, connection: Connection) -> list[str]:
        source = connection.time_source
        if is_loopback(source.host) and not self._time_source_overridden:
            return [_LOOPBACK_TIME_SOURCE]
        await ask_time(source, self._timing)
        return []


def _command_topic(connection: Connection) -> str:
    return f"v1/to/{connection.hardware_id}/{connection.channel_id}/v1/command/requests"


def _common_name_warnings(connection: Connection) -> list[str]:
    """Brokers derive the topic rights from the common name: another one is a module that connects and is not heard."""
    if not isinstance(connection.credentials, TlsCredentials):
        return []
    name = common_name(connection.credentials.certificate)
    if name == connection.hardware_id:
        return []
    shown = one_line(name or "", _COMMON_NAME_SHOWN) or "none"
    return [f"The certificate's common name is not the module's hardware id but: {shown}."]
