"""What the broker's traffic says about devices: when each was heard last, and its properties."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

Connectivity = Literal["ONLINE", "OFFLINE", "UNKNOWN"]

# The platform's documentation sends properties to one of these topics, its Python SDK to the other.
_PROPERTY_TOPICS = ("v1/register", "v1/properties")

_MAX_PROPERTIES_BYTES = 32 * 1024


class Presence:
    """Kept in memory: a restart of the server ends every session, and modules register again when they return."""

    def __init__(self, now: Callable[[], datetime], online_within: timedelta) -> None:
        self._now = now
        self._online_within = online_within
        self._heard: dict[str, datetime] = {}
        self._properties: dict[tuple[str, str], dict[str, Any]] = {}

    def observe(self, topic: str, payload: bytes) -> None:
        """Take notice of a message that the broker accepted under `v1/from/<hardware id>/<channel id>/`."""
        match topic.split("/", 4):
            case ["v1", "from", hardware_id, channel_id, kind]:
                self._heard[hardware_id] = self._now()
                if kind in _PROPERTY_TOPICS:
                    self._keep_properties(hardware_id, channel_id, payload)
            case ["v1", "from", hardware_id, *_]:
                self._heard[hardware_id] = self._now()

    def connectivity(self, hardware_id: str) -> Connectivity:
        """ONLINE while messages are recent: the platform's devices have no last will that would tell sooner."""
        heard = self._heard.get(hardware_id)
        if heard is None:
            return "UNKNOWN"
        return "ONLINE" if self._now() - heard <= self._online_within else "OFFLINE"

    def properties(self, hardware_id: str, channel_id: str) -> dict[str, Any]:
        """The last properties without their timestamp; empty when none were heard."""
        return self._properties.get((hardware_id, channel_id), {})

    def forget(self, hardware_id: str) -> None:
        """A device was deleted: another that gets its hardware id starts unheard."""
        self._heard.pop(hardware_id, None)
        for key in [key for key in self._properties if key[0] == hardware_id]:
            del self._properties[key]

    def _keep_properties(self, hardware_id: str, channel_id: str, payload: bytes) -> None:
        if len(payload) > _MAX_PROPERTIES_BYTES:
            return
        try:
            properties = msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # a module's malformed message is the module's affair
        properties.pop("timestamp", None)
        self._properties[hardware_id, channel_id] = properties
