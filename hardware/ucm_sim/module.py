"""What every simulated module has, however it is reached: a board, power, a socket for a cable, and its facts."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypedDict

from ucm_sim.air import USUAL_RSSI_DBM, Air
from ucm_sim.board import Board
from ucm_sim.broker import Habits
from ucm_sim.cable import Cable
from ucm_sim.clock import Clock, SystemClock
from ucm_sim.frames import DEFAULT_MAX_FRAME
from ucm_sim.identity import Identity
from ucm_sim.lan_interface import LanInterface
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.radio import Radio
from ucm_sim.slots import Slots
from ucm_sim.srp import VerifierForm
from ucm_sim.tasks import end


class ModuleOptions(TypedDict, total=False):
    """What may be said about any module; the defaults and meanings are those of `Module`."""

    baud: int
    reset_on_open: bool
    boot_s: float
    air: Air | None
    networks: Mapping[str, str] | None
    wifi: Mapping[str, str] | None
    rssi_dbm: int
    telemetry_every_s: float
    register_every_s: float
    verifier_form: VerifierForm
    max_frame: int
    clock: Clock | None
    announce: Callable[[str], None]


class Module:
    """A board with its facts, at first without power and without a cable.

    `state_file` is the flash: it outlives the object. Without one the flash lives as long as the object.
    `baud` 0 removes the limit of the serial wire's speed. `reset_on_open` resets the module whenever a host
    opens a terminal that nobody had open. `air` is what it shares with others; without one it has an air of its
    own, in which `networks` maps the SSIDs to passphrases; empty: any network will do. All of those are as strong as
    `rssi_dbm`. `wifi` (SSID to passphrase) are networks that the module knows before it is configured.
    Online it publishes telemetry and its registration every so many seconds; with 0 telemetry never, the
    registration once. `announce(sentence)` is called for each event that a person may want to read.

    Raises FlashUnreadableError or WrongModuleError for an unsuitable state file.
    """

    def __init__(
        self,
        identity: Identity,
        state_file: Path | None,
        *,
        lan: LanInterface | None = None,
        baud: int = 115200,
        reset_on_open: bool = False,
        boot_s: float = 0.2,
        air: Air | None = None,
        networks: Mapping[str, str] | None = None,
        wifi: Mapping[str, str] | None = None,
        rssi_dbm: int = USUAL_RSSI_DBM,
        telemetry_every_s: float = 1.0,
        register_every_s: float = 30.0,
        verifier_form: VerifierForm = VerifierForm.STANDARD,
        max_frame: int = DEFAULT_MAX_FRAME,
        clock: Clock | None = None,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.identity = identity
        self.radio = Radio(air or Air.of(networks, rssi_dbm))
        self._board = Board(
            identity,
            state_file,
            clock=clock or SystemClock(),
            radio=self.radio,
            lan=lan,
            habits=Habits(telemetry_every_s, register_every_s),
            boot_s=boot_s,
            verifier_form=verifier_form,
            max_frame=max_frame,
            console=self._print,
            announce=announce,
        )
        self._cable = Cable(self._board, baud, reset_on_open=reset_on_open)
        self._powered: asyncio.Task[None] | None = None
        if wifi:
            self._store_wifi(wifi)

    async def reboot(self) -> None:
        """Restart the firmware and wait until it answers again."""
        boots = self.boots
        self._board.reset()
        await self.until(lambda module: module.boots > boots and module.answers, timeout=30)

    def pull_reset_pin(self) -> None:
        """Restart it as the reset circuit on its board does, whatever it is doing."""
        self._board.pull_reset_pin()

    async def until(self, condition: Callable[[Self], bool], timeout: float) -> None:  # noqa: ASYNC109 - reads as a sentence in tests
        """Wait until a condition of this module holds; raises TimeoutError after real seconds.

        The condition is looked at when something changes: link, trial, boots, requests, identify, port.
        """
        await self._board.until(lambda: condition(self), timeout)

    def _print(self, text: bytes) -> None:
        self._cable.write(text)

    def _store_wifi(self, wifi: Mapping[str, str]) -> None:
        known = [pb.Wifi(ssid=ssid, passphrase=passphrase) for ssid, passphrase in wifi.items()]
        self._slots().store_wifi(known)

    def _switch_on(self) -> None:
        if self._powered is None:
            self._powered = asyncio.create_task(self._board.run())

    async def _switch_off(self) -> None:
        powered, self._powered = self._powered, None
        await end(powered)

    # ---- facts for tests ----

    @property
    def is_powered(self) -> bool:
        return self._powered is not None

    @property
    def answers(self) -> bool:
        """Whether the firmware runs: powered, and booted."""
        return self._board.firmware is not None

    @property
    def is_open(self) -> bool:
        """Whether a host has the serial port open."""
        return self._cable.is_open

    @property
    def phase(self) -> pb.Phase.ValueType:
        return self._board.firmware.link.phase if self._board.firmware else pb.IDLE

    @property
    def phase_name(self) -> str:
        return pb.Phase.Name(self.phase)

    @property
    def reason(self) -> pb.Reason.ValueType:
        return self._board.firmware.link.reason if self._board.firmware else pb.NONE

    @property
    def reason_name(self) -> str:
        return pb.Reason.Name(self.reason)

    @property
    def ssid(self) -> str:
        """The network that it is in; empty while it is in none."""
        return self._board.firmware.link.association.ssid if self._board.firmware else ""

    @property
    def live_generation(self) -> int:
        """The generation that the live connection uses, 0 if there is none."""
        return self._board.firmware.link.generation if self._board.firmware else 0

    @property
    def active_generation(self) -> int:
        """The generation that is confirmed, 0 if there is none."""
        active = self._slots().active
        return active.generation if active else 0

    @property
    def trial_generation(self) -> int:
        """The generation on trial, 0 if there is none."""
        tried = self._slots().tried
        return tried.generation if tried else 0

    @property
    def state_name(self) -> str:
        """What the module says of itself in mDNS: new, trial or active."""
        return self._slots().state_name

    @property
    def unprovisioned(self) -> bool:
        """Whether it holds no configuration, neither a confirmed one nor one on trial."""
        return self.state_name == "new"

    @property
    def boots(self) -> int:
        return self._board.counts["boots"]

    @property
    def frames(self) -> int:
        """Requests answered over the serial line, repeated ones included."""
        return self._board.counts["frames"]

    @property
    def identify_requests(self) -> int:
        return self._board.counts["identify"]

    @property
    def flash_writes(self) -> int:
        return self._board.flash.writes

    def executed(self, request: str) -> int:
        """How often a configuration request ran: reserve, begin, chunk, commit, confirm, abort, reset."""
        return self._board.counts[request]

    def _slots(self) -> Slots:
        return Slots(self._board.flash)
