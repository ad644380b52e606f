"""A simulated module on a serial port: a board and its cable."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ucm_sim.board import Board
from ucm_sim.clock import Clock, SystemClock
from ucm_sim.frames import DEFAULT_MAX_FRAME
from ucm_sim.identity import Identity
from ucm_sim.line import SerialLine
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.radio import Radio
from ucm_sim.slots import Slots
from ucm_sim.srp import VerifierForm


class SerialModule:
    """Powered and plugged in while it is entered.

    `state_file` is the flash: it outlives the object. `link` is the name under which the terminal appears.
    `baud` 0 removes the limit of the wire's speed. `reset_on_open` resets the module whenever a host opens
    a terminal that nobody had open. `networks` maps the SSIDs in the air to passphrases; empty: any network
    will do. `wifi` (SSID to passphrase) are networks that the module knows before it is configured.
    `announce(sentence)` is called for each event that a person may want to read.

    Raises OSError if the link cannot be made, FlashUnreadableError or WrongModuleError for an unsuitable state file.
    """

    def __init__(
        self,
        identity: Identity,
        state_file: Path,
        link: Path,
        *,
        baud: int = 115200,
        reset_on_open: bool = False,
        boot_s: float = 0.2,
        networks: Mapping[str, str] | None = None,
        wifi: Mapping[str, str] | None = None,
        rssi_dbm: int = -58,
        verifier_form: VerifierForm = VerifierForm.STANDARD,
        max_frame: int = DEFAULT_MAX_FRAME,
        clock: Clock | None = None,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.identity = identity
        self.link = link
        self._clock = clock or SystemClock()
        self._baud = baud
        self._reset_on_open = reset_on_open
        self.radio = Radio(networks or {}, rssi_dbm)
        self._board = Board(
            identity,
            state_file,
            clock=self._clock,
            radio=self.radio,
            boot_s=boot_s,
            verifier_form=verifier_form,
            max_frame=max_frame,
            console=self._print,
            announce=announce,
        )
        if wifi:
            known = [pb.Wifi(ssid=ssid, passphrase=passphrase) for ssid, passphrase in wifi.items()]
            Slots(self._board.flash).store_wifi(known)
        self._tasks = asyncio.TaskGroup()
        self._line: SerialLine | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._powered: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        await self.plug()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _raised: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.unplug()
        # Without the exception, which would come out wrapped in a group.
        await self._tasks.__aexit__(None, None, None)

    async def plug(self, link: Path | None = None) -> None:
        """Put the cable in, perhaps under another name; powers the module on if it was off."""
        if self._line is not None:
            raise RuntimeError("the cable is in already")
        self.link = link or self.link
        self._line = SerialLine(
            self.link,
            self._baud,
            self._clock,
            received=self._receive,
            opened=self._opened,
            closed=self._board.changed,
        )
        self._carrying = self._tasks.create_task(self._line.run())
        if self._powered is None:
            self._powered = self._tasks.create_task(self._board.run())

    async def unplug(self, *, power: bool = False) -> None:
        """Pull the cable. With it goes the power, and all that is in RAM, unless `power` is true."""
        if not power:
            await _cancel(self._powered)
            self._powered = None
        await _cancel(self._carrying)
        if self._line is not None:
            self._line.close()
        self._line = self._carrying = None

    async def reboot(self) -> None:
        """Restart the firmware and wait until it answers again."""
        boots = self.boots
        self._board.reset()
        await self.until(lambda module: module.boots > boots and module.answers, timeout=30)

    async def until(self, condition: Callable[["SerialModule"], bool], timeout: float) -> None:  # noqa: ASYNC109 - reads as a sentence in tests
        """Wait until a condition of this module holds; raises TimeoutError after real seconds.

        The condition is looked at when something changes: link, trial, boots, frames, identify, port.
        """
        await self._board.until(lambda: condition(self), timeout)

    # ---- facts for tests ----

    @property
    def answers(self) -> bool:
        """Whether the firmware runs: powered, and booted."""
        return self._board.firmware is not None

    @property
    def is_open(self) -> bool:
        """Whether a host has the port open."""
        return self._line is not None and self._line.is_open

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

    # ---- between board and cable ----

    def _print(self, text: bytes) -> None:
        if self._line is not None:
            self._line.write(text)

    def _receive(self, data: bytes) -> None:
        for reply in self._board.receive(data):
            if self._line is not None:
                self._line.write(reply)

    def _opened(self) -> None:
        if self._reset_on_open:
            self._board.pull_reset_pin()
        self._board.changed()


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
