"""Many modules on one LAN in one process."""

import asyncio
import contextlib
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from ucm_sim.air import USUAL_RSSI_DBM, Air
from ucm_sim.identity import Identity
from ucm_sim.lan_module import LanModule
from ucm_sim.lan_segment import LanSegment
from ucm_sim.module import ModuleOptions

# Modules started in one turn of the event loop: nobody else waits for long.
_AT_A_TIME = 10


class LanFleet:
    """`count` modules, powered while it is entered.

    Those of one `seed` have the same ids and proofs every time. They share one `air`, also one made of `networks`.

    `state` is a folder for their flash files; without it they forget everything with the process. `first_port` is
    that of the first module, and the others follow; 0: any free ports. Raises what LanModule does.
    """

    def __init__(
        self,
        count: int,
        segment: LanSegment,
        *,
        seed: str,
        address: str = "127.0.0.1",
        first_port: int = 0,
        state: Path | None = None,
        product: str = "UCM",
        model: str = "ENP-RL6",
        **options: Unpack[ModuleOptions],
    ) -> None:
        self.identities = [_identity(seed, number, product, model) for number in range(1, count + 1)]
        self.modules: list[LanModule] = []
        self._segment = segment
        self.address = address
        self._first_port = first_port
        self._state = state
        own = Air.of(options.pop("networks", None), options.pop("rssi_dbm", USUAL_RSSI_DBM))
        self.air = options.pop("air", None) or own
        self._options: ModuleOptions = {**options, "air": self.air}
        self._entered = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as undo:
            for number, identity in enumerate(self.identities):
                self.modules.append(await undo.enter_async_context(self._module(number, identity)))
                if number % _AT_A_TIME == 0:
                    await asyncio.sleep(0)
            self._entered = undo.pop_all()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._entered.aclose()

    def manifest(self, protocol: str) -> str:
        """The modules as CSV: hardware_id, name, protocol and proof of possession of each."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["hardware_id", "name", "protocol", "pop"])
        for number, identity in enumerate(self.identities, 1):
            # Only a UCM has the choice between the protocols.
            chosen = protocol if identity.product == "UCM" else ""
            writer.writerow([identity.hardware_id, f"Simulated {number:04}", chosen, identity.pop])
        return text.getvalue()

    def tally(self) -> Counter[str]:
        """How many modules are in which state, and how many of them in which phase of connecting."""
        states = Counter(module.state_name for module in self.modules)
        return states + Counter(module.phase_name for module in self.modules)

    def _module(self, number: int, identity: Identity) -> LanModule:
        flash = self._state / f"{identity.hardware_id}.json" if self._state else None
        port = self._first_port + number if self._first_port else 0
        options = self._options
        if "announce" in options:
            options = {**options, "announce": _naming(identity, options["announce"])}
        return LanModule(identity, flash, self._segment, address=self.address, port=port, **options)


def _naming(identity: Identity, announce: Callable[[str], None]) -> Callable[[str], None]:
    """Say which module it was: of many, nobody knows otherwise."""
    return lambda sentence: announce(f"{identity.hardware_id[:8]} {sentence}")


def _identity(seed: str, number: int, product: str, model: str) -> Identity:
    return Identity(
        hardware_id=_derived(seed, number, "id")[:32].upper(),
        pop=_derived(seed, number, "proof of possession")[:12],
        product=product,
        model=model,
    )


def _derived(seed: str, number: int, purpose: str) -> str:
    return hashlib.sha256(f"{purpose}\0{seed}\0{number}".encode()).hexdigest()
