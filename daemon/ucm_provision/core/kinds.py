"""The kinds of device that the provisioning API knows, and what sets them apart."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The API's eight provisioning calls; the values are the last parts of their paths."""

    UCM = "ucm"
    VUCM = "vucm"
    EMBEDDED = "embedded"
    LINK_MASTER = "link_master"
    LINK_SLAVE = "link_slave"
    STANDALONE = "standalone"
    LUA_DEVICE = "lua_device"
    GATEWAY = "gateway"


class DeviceType(StrEnum):
    """What an embedded device is."""

    ELECTROLYSER = "ELECTROLYSER"
    DRYER = "DRYER"
    WATER_TANK = "WATER_TANK"


# The API answers these with a configuration for the device itself. The others have nothing to be configured with.
WITH_CONFIG = frozenset({Kind.UCM, Kind.EMBEDDED, Kind.GATEWAY})

# The API knows these by a hardware id and answers the same call with the same device. Of the others only a slug
# that was chosen before the first call tells whether an answer that got lost was a yes.
WITH_HARDWARE_ID = frozenset(Kind) - {Kind.STANDALONE, Kind.LUA_DEVICE}

# A Lua device belongs to its runtime's site; every other kind is told which.
WITH_SITE = frozenset(Kind) - {Kind.LUA_DEVICE}
