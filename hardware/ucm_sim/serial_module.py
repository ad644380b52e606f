"""A simulated module on a serial port: a board and its cable."""

from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from ucm_sim.identity import Identity
from ucm_sim.module import Module, ModuleOptions


class SerialModule(Module):
    """Powered and plugged in while it is entered; `link` is the name under which the terminal appears.

    Everything else is said in `Module`. Raises OSError if the link cannot be made.
    """

    def __init__(self, identity: Identity, state_file: Path, link: Path, **options: Unpack[ModuleOptions]) -> None:
        super().__init__(identity, state_file, **options)
        self.link = link

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.unplug()

    async def plug(self, link: Path | None = None) -> None:
        """Put the cable in, perhaps under another name; powers the module on if it was off."""
        if self._cable.is_in:
            raise RuntimeError("the cable is in already")
        self.link = link or self.link
        self._cable.plug(self.link)
        self._switch_on()

    async def unplug(self, *, power: bool = False) -> None:
        """Pull the cable. With it goes the power, and all that is in RAM, unless `power` is true."""
        try:
            if not power:
                await self._switch_off()
        finally:
            await self._cable.unplug()
