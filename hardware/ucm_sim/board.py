"""The board that firmware runs on: power, reset, clock, radio, console, and what tests may look at."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ucm_sim import factory
from ucm_sim.broker import Habits
from ucm_sim.clock import Clock, RealTimeClock
from ucm_sim.firmware import Firmware
from ucm_sim.flash import Flash
from ucm_sim.frames import DEFAULT_MAX_FRAME
from ucm_sim.identity import Identity
from ucm_sim.lan_interface import LanInterface
from ucm_sim.radio import Radio
from ucm_sim.srp import Verifier, VerifierForm

_ROM_LOG = b"ESP-ROM:esp32c3-api1-20210207\r\nrst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)\r\n"
_SECOND_STAGE_LOG = b"entry 0x403cc710\r\n"


class Board:
    """A module without its cable. Firmware exists only while the board has power and has booted.

    `boot_s` is the time from reset to an answer, in seconds of the module's time. `console(data)` gets
    what the module prints, `announce(sentence)` the same events for people, without a timestamp. `lan` is
    where others reach it once it has joined a network; without one only the cable leads to it.
    """

    def __init__(
        self,
        identity: Identity,
        state_file: Path | None,
        *,
        clock: Clock,
        radio: Radio,
        lan: LanInterface | None = None,
        habits: Habits | None = None,
        boot_s: float = 0.2,
        verifier_form: VerifierForm = VerifierForm.STANDARD,
        max_frame: int = DEFAULT_MAX_FRAME,
        console: Callable[[bytes], None],
        announce: Callable[[str], None],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.identity = identity
        self.clock = clock
        self.radio = radio
        self.lan = lan
        self.habits = habits or Habits()
        self.max_frame = max_frame
        self.entropy = entropy
        self.rtc = RealTimeClock(clock)
        self.flash = Flash(state_file)
        self._verifier_form = verifier_form
        if state_file is not None:
            factory.initialise(self.flash, identity, verifier_form, entropy)
        self.counts: Counter[str] = Counter()
        self.firmware: Firmware | None = None
        self._boot_s = boot_s
        self._console = console
        self._announce = announce
        self._restart = asyncio.Event()
        self._started = clock.monotonic()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def run(self) -> None:
        """Have power until cancelled. RAM and clock are lost then."""
        try:
            while True:
                self._restart.clear()
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(self._run_once())
                    await self._restart.wait()
                    running.cancel()
        finally:
            self.rtc.lose()
            self.changed()

    def reset(self) -> None:
        """Start over, as software does it: RAM is lost, the clock goes on."""
        self._restart.set()

    def pull_reset_pin(self) -> None:
        """Start over, as the reset pin does it: the clock is lost too."""
        self.rtc.lose()
        self._restart.set()

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes from the serial line; return the frames that answer them, if anybody is awake."""
        if self.firmware is None or self._restart.is_set():
            return []
        replies = self.firmware.serial.receive(data)
        if replies:
            self.counts["frames"] += len(replies)
            self.changed()
        return replies

    def lease(self, ssid: str) -> str:
        """Enter the segment of a network and return the IPv4 address there; raises OSError."""
        if self.lan is None:
            return self.identity.address
        self.lan.enter(self.radio.segment(ssid))
        return self.lan.address

    def verifier(self) -> Verifier:
        """What the factory stored. In a flash of this process it is made when first needed: 2 ms of computing."""
        if factory.is_blank(self.flash):
            factory.initialise(self.flash, self.identity, self._verifier_form, self.entropy)
        return factory.stored_verifier(self.flash)

    def uptime(self) -> float:
        """Seconds since the last reset."""
        return self.clock.monotonic() - self._started

    def say(self, tag: str, sentence: str) -> None:
        """Print a log line on the console."""
        self._console(f"I ({round(self.uptime() * 1000)}) {tag}: {sentence}\r\n".encode())
        self._announce(f"{tag}: {sentence}")

    def changed(self) -> None:
        """Something that a test may be waiting for has changed."""
        for holds, waiting in self._watchers:
            if not waiting.done() and holds():
                waiting.set_result(None)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until a condition holds; raises TimeoutError after that many real seconds."""
        if holds():
            return
        watcher = (holds, asyncio.get_running_loop().create_future())
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(timeout_s):
                await watcher[1]
        finally:
            self._watchers.remove(watcher)

    async def _run_once(self) -> None:
        await self._boot()
        self.firmware = Firmware(self)
        self.say("ucm", f"ready: {self.identity.model}, firmware {self.identity.firmware}")
        self.changed()
        try:
            await self.firmware.run()
        finally:
            self.firmware = None

    async def _boot(self) -> None:
        self._started = self.clock.monotonic()
        self.counts["boots"] += 1
        self.changed()
        self._console(_ROM_LOG)
        await self.clock.sleep(self._boot_s)
        self._console(_SECOND_STAGE_LOG)
        self._announce(f"booted: {self.identity.hardware_id}")
