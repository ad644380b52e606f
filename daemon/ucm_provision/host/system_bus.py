"""A connection to the system bus, as far as the daemon needs one: properties, and word that some have changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from dbus_fast import BusType, DBusFastError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from ucm_provision.core import policy

Properties = Mapping[str, Variant]

# How a connection fails or ends: the kernel's, the library's own, and what its reader raises at a message that
# breaks off or is not D-Bus.
BUS_LOST: Final = (OSError, EOFError, DBusFastError, ValueError, LookupError)

_BUS: Final = "org.freedesktop.DBus"


class SystemBus:
    """One connection. What it hears only stirs; what there is has to be asked for."""

    def __init__(self, bus: MessageBus, ended: asyncio.Future[None]) -> None:
        self.stirred = asyncio.Event()
        self._bus = bus
        self._ended = ended
        bus.add_message_handler(self._hear)
        ended.add_done_callback(lambda _: self.stirred.set())

    @property
    def ended(self) -> bool:
        return self._ended.done()

    async def listen(self, *rules: str) -> None:
        """Lets every signal that matches one of the D-Bus match rules stir."""
        for rule in rules:
            answer = await self._call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", [rule])
            if answer.message_type is not MessageType.METHOD_RETURN:
                raise ConnectionError(f"the bus refuses: {answer.error_name}")

    async def properties(self, name: str, path: str, interface: str) -> Properties | None:
        """All properties of an object; None when it, or who owns the name, is not there.

        Raises one of :data:`BUS_LOST` when there is no answer.
        """
        answer = await self._call(name, path, "org.freedesktop.DBus.Properties", "GetAll", [interface])
        if answer.message_type is not MessageType.METHOD_RETURN or answer.signature != "a{sv}":
            return None
        found: Properties = answer.body[0]
        return found

    async def _call(self, name: str, path: str, interface: str, member: str, body: Sequence[str]) -> Message:
        if self.ended:  # the library would wait for ever
            raise ConnectionResetError("the connection to the bus has ended")
        # Asking must not start a service that somebody has stopped.
        call = Message(
            name, path, interface, member, flags=MessageFlag.NO_AUTOSTART, signature="s" * len(body), body=list(body)
        )
        async with asyncio.timeout(policy.BUS_CALL_DEADLINE):
            return await self._bus.call(call)

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL:
            self.stirred.set()


@asynccontextmanager
async def system_bus(address: str | None = None) -> AsyncIterator[SystemBus]:
    """Connects to the bus at the D-Bus address, by default to the system's, and closes the connection at the end.

    Raises one of :data:`BUS_LOST` when that is not possible.
    """
    bus = MessageBus(address, BusType.SYSTEM)
    async with asyncio.timeout(policy.BUS_CALL_DEADLINE):
        await bus.connect()
    ended = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]  # it returns None
    try:
        yield SystemBus(bus, ended)
    finally:
        bus.disconnect()  # closes a turn of the loop later
        await asyncio.gather(ended, return_exceptions=True)


def value(properties: Properties | None, name: str, signature: str) -> Any:
    """A property's value, None when there is none or it is not of the type that the D-Bus signature says."""
    found = (properties or {}).get(name)
    return found.value if found is not None and found.signature == signature else None
