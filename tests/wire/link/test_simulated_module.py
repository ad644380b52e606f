"""The whole link against the simulated module, which shares no code with it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import (
    Carrier,
    Connection,
    Endpoint,
    LinkState,
    ModuleConfiguration,
    PasswordCredentials,
    ProofOfPossession,
    TimeProtocol,
    TimeSource,
    WifiNetwork,
)
from ucm_provision.core.ports import ByteStream, DeviceLink
from ucm_provision.core.secret import Secret
from ucm_provision.link import OpenStream, SerialLinks, Timing
from ucm_provision.link.pack import pack
from ucm_provision.transports.serial import open_port
from ucm_sim import Identity, SerialModule, VerifierForm

HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
POP = "a7Kf-93Qp-Lm2x"
INNER_ZERO = "pw00493"  # its inner hash begins with a zero byte
OWNER = "box-1"
TRANSACTION = bytes(range(16))
# Unthrottled, but for the test of the wire's real speed.
TIMING = Timing(first_answer=5, first_answer_resend=0.2, handshake=8, call=8, commit=8)

CONFIGURATION = ModuleConfiguration(
    device_id="0f6e5a52-8c1d-4f6e-9b39-2f1d6c7a8e90",
    connection=Connection(
        hardware_id=HARDWARE_ID,
        channel_id="ucm",
        mqtt_host="127.0.0.1",
        mqtt_port=1,  # nothing listens there: this is about the link, not about what follows
        credentials=PasswordCredentials("user", Secret("password" * 600)),  # several chunks long
        time_source=TimeSource(TimeProtocol.HTTP, "127.0.0.1", 1),
    ),
    wifi=(WifiNetwork("plant-wifi", Secret("correct horse battery")),),
)


@pytest.fixture
def make_module(tmp_path: Path) -> Callable[..., SerialModule]:
    def make(pop: str = POP, **options: object) -> SerialModule:
        identity = Identity(hardware_id=HARDWARE_ID, pop=pop)
        settings = {"baud": 0, "boot_s": 0.01} | options
        return SerialModule(identity, state_file=tmp_path / "flash", link=tmp_path / "ttyUCM0", **settings)

    return make


@asynccontextmanager
async def dialled(
    module: SerialModule, pop: str = POP, opener: OpenStream = open_port, timing: Timing = TIMING
) -> AsyncIterator[DeviceLink]:
    endpoint = Endpoint(Carrier.SERIAL, str(module.link), "key")
    links = SerialLinks(opener, timing=timing)
    async with links.dial(endpoint, lambda _: ProofOfPossession(Secret(pop))) as link:
        yield link


async def staged(link: DeviceLink, payload: bytes, base_generation: int = 0) -> None:
    offset = await link.begin(TRANSACTION, payload, base_generation)
    while offset < len(payload):
        offset = await link.chunk(TRANSACTION, payload, offset)


async def reached(link: DeviceLink, condition: Callable[[LinkState], bool]) -> LinkState:
    """Polls as the engine does: a module does not speak unasked."""
    async with asyncio.timeout(10):
        while not condition(state := await link.state()):
            pass
    return state


async def test_the_whole_conversation(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module, dialled(module) as link:
        info = await link.info()
        assert (info.hardware_id, info.active, info.trial) == (HARDWARE_ID, None, None)
        reservation = await link.reserve(OWNER, 120)
        assert (reservation.owner, reservation.remaining_s in (119, 120)) == (OWNER, True)
        await staged(link, payload)
        generation = await link.commit(TRANSACTION, trial_s=120, now_unix_ms=int(time.time() * 1000))
        state = await reached(link, lambda state: state.generation == generation)
        assert state.last_trial is None
        trial = (await link.info()).trial
        assert trial is not None
        assert (trial.generation, trial.transaction, trial.owner) == (generation, TRANSACTION, OWNER)
        assert trial.ssids == ("plant-wifi",)
        assert (module.executed("begin"), module.executed("commit")) == (1, 1)
        assert module.executed("chunk") == -(-len(payload) // 2048)


async def test_abort_rolls_a_trial_back(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module, dialled(module) as link:
        await link.reserve(OWNER, 120)
        await staged(link, payload)
        generation = await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)
        await link.abort(TRANSACTION)
        state = await reached(link, lambda state: state.last_trial is not None)
        assert state.last_trial is not None
        assert (state.last_trial.generation, state.last_trial.reason) == (generation, "ABORTED")
        assert (await link.info()).trial is None
        with pytest.raises(UcmError) as caught:
            await link.begin(TRANSACTION, payload, 0)
        assert caught.value.code is Code.MODULE_REFUSED


async def test_a_repeated_begin_of_what_is_on_trial_is_done(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module:
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            await staged(link, payload)
            generation = await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            assert await link.begin(TRANSACTION, payload, 0) == len(payload)
            assert await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0) == generation


async def test_staging_resumes_in_another_session(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module:
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            offset = await link.chunk(TRANSACTION, payload, await link.begin(TRANSACTION, payload, 0))
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            assert await link.begin(TRANSACTION, payload, 0) == offset == 2048


async def test_a_chunk_too_far_on_is_told_where_the_module_is(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module, dialled(module) as link:
        await link.reserve(OWNER, 120)
        await link.begin(TRANSACTION, payload, 0)
        assert await link.chunk(TRANSACTION, payload, 2048) == 0


async def test_refusals(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module, dialled(module) as link:
        with pytest.raises(UcmError) as no_reservation:
            await link.begin(TRANSACTION, payload, 0)
        assert no_reservation.value.code is Code.MODULE_REFUSED
        await link.reserve(OWNER, 120)
        with pytest.raises(UcmError) as wrong_base:
            await link.begin(TRANSACTION, payload, 5)
        assert wrong_base.value.code is Code.MODULE_CONFLICT
        with pytest.raises(UcmError) as not_staged:
            await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)
        assert not_staged.value.code is Code.LINK_BROKEN
        await link.begin(TRANSACTION, payload, 0)
        with pytest.raises(UcmError) as incomplete:
            await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)
        assert incomplete.value.code is Code.LINK_BROKEN
        assert "OUT_OF_ORDER" in incomplete.value.detail


async def test_reserved_by_another_box(make_module: Callable[..., SerialModule]) -> None:
    async with make_module() as module:
        async with dialled(module) as link:
            await link.reserve("box-2", 60)
        async with dialled(module) as link:
            with pytest.raises(UcmError, match="box-2") as caught:
                await link.reserve(OWNER, 60)
            assert caught.value.code is Code.MODULE_BUSY
            assert 55 < (caught.value.retry_after or 0) <= 60
            reserved = (await link.info()).reservation
            assert reserved is not None
            assert reserved.owner == "box-2"
        async with dialled(module) as link:
            await link.reserve("box-2", 0)
            assert (await link.reserve(OWNER, 60)).owner == OWNER


async def test_identify(make_module: Callable[..., SerialModule]) -> None:
    async with make_module() as module, dialled(module) as link:
        await link.identify(3)
        assert module.identify_requests == 1
        with pytest.raises(UcmError) as caught:
            await link.identify(61)
        assert caught.value.code is Code.MODULE_REFUSED


@pytest.mark.parametrize("form", list(VerifierForm))
@pytest.mark.parametrize("pop", [POP, INNER_ZERO])
async def test_every_form_of_verifier(make_module: Callable[..., SerialModule], form: VerifierForm, pop: str) -> None:
    async with make_module(pop, verifier_form=form) as module, dialled(module, pop) as link:
        assert (await link.info()).hardware_id == HARDWARE_ID


async def test_a_wrong_proof(make_module: Callable[..., SerialModule]) -> None:
    async with make_module() as module:
        with pytest.raises(UcmError) as caught:
            async with dialled(module, "wrong"):
                pass
        assert caught.value.code is Code.POP_WRONG
        async with dialled(module) as link:
            assert (await link.info()).hardware_id == HARDWARE_ID


async def test_opening_resets_the_module(make_module: Callable[..., SerialModule]) -> None:
    async with make_module(reset_on_open=True, boot_s=0.5) as module:
        boots = module.boots
        async with dialled(module) as link:
            assert (await link.info()).hardware_id == HARDWARE_ID
        assert module.boots > boots


async def test_unplugged_in_the_middle_and_back_under_another_name(
    make_module: Callable[..., SerialModule], tmp_path: Path
) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module:
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            offset = await link.chunk(TRANSACTION, payload, await link.begin(TRANSACTION, payload, 0))
            await module.unplug()
            with pytest.raises(UcmError) as caught:
                await link.chunk(TRANSACTION, payload, offset)
            assert caught.value.code is Code.DEVICE_GONE
        await module.plug(link=tmp_path / "ttyUCM7")
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            assert await link.begin(TRANSACTION, payload, 0) == 0  # its RAM went with the power


async def test_unplugged_but_still_powered_staging_goes_on(
    make_module: Callable[..., SerialModule], tmp_path: Path
) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module:
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            offset = await link.chunk(TRANSACTION, payload, await link.begin(TRANSACTION, payload, 0))
            await module.unplug(power=True)
        await module.plug(link=tmp_path / "ttyUCM7")
        async with dialled(module) as link:
            await link.reserve(OWNER, 120)
            assert await link.begin(TRANSACTION, payload, 0) == offset


class Lossy:
    """A line that loses bytes: whole writes of ours, and every so often what comes back."""

    def __init__(self, stream: ByteStream, chance: random.Random, share: float) -> None:
        self._stream, self._chance, self._share = stream, chance, share
        self.lost = 0

    @property
    def bits_per_second(self) -> int:
        return self._stream.bits_per_second

    async def read(self) -> bytes:
        while True:
            data = await self._stream.read()
            if not self._loses():
                return data

    async def write(self, data: bytes) -> None:
        if not self._loses():
            await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    def _loses(self) -> bool:
        loses = self._chance.random() < self._share
        self.lost += loses
        return loses


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_fifth_of_all_frames_is_lost_each_way(make_module: Callable[..., SerialModule], seed: int) -> None:
    payload, lines = pack(CONFIGURATION), []
    patient = replace(TIMING, retransmit_first=0.05, retransmit_last=0.1, first_answer_resend=0.05)

    async def lossy(address: str, baud: int) -> ByteStream:
        lines.append(Lossy(await open_port(address, baud), random.Random(seed), 0.2))
        return lines[-1]

    async with make_module() as module, dialled(module, opener=lossy, timing=patient) as link:
        await link.reserve(OWNER, 120)
        await staged(link, payload)
        assert await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0) == 1
        for _ in range(20):
            await link.state()
        assert lines[0].lost > 5
        assert (module.executed("reserve"), module.executed("begin"), module.executed("commit")) == (1, 1, 1)
        assert module.executed("chunk") == -(-len(payload) // 2048)


async def test_at_the_speed_of_a_real_wire(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module(baud=115200) as module, dialled(module) as link:
        await link.reserve(OWNER, 120)
        frames = module.frames
        begun = time.monotonic()
        await staged(link, payload)
        seconds = time.monotonic() - begun
        assert seconds > len(payload) * 10 / 115200
        # No frame was sent twice: the timer does not run while bytes are still leaving.
        assert module.frames - frames == 1 + -(-len(payload) // 2048)


async def test_a_dial_that_is_cancelled_gives_the_port_back(make_module: Callable[..., SerialModule]) -> None:
    opened = asyncio.Event()

    async def opening(address: str, baud: int) -> ByteStream:
        stream = await open_port(address, baud)
        opened.set()
        return stream

    async with make_module(boot_s=60) as module:
        dialling = asyncio.ensure_future(dialled(module, opener=opening).__aenter__())
        await asyncio.wait_for(opened.wait(), 5)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        stream = await open_port(str(module.link), 115200, retry_for=0)
        await stream.close()


async def test_a_reset_module_has_forgotten_everything_but_who_it_is(make_module: Callable[..., SerialModule]) -> None:
    payload = pack(CONFIGURATION)
    async with make_module() as module, dialled(module) as link:
        with pytest.raises(UcmError) as unreserved:
            await link.reset()
        assert unreserved.value.code is Code.MODULE_REFUSED
        await link.reserve(OWNER, 120)
        await staged(link, payload)
        generation = await link.commit(TRANSACTION, trial_s=120, now_unix_ms=0)
        await link.confirm(generation)
        await link.reset()
        await module.until(lambda module: module.unprovisioned, timeout=5)
        info = await link.info()
        assert (info.hardware_id, info.active, info.trial, info.reservation) == (HARDWARE_ID, None, None, None)
        await link.reserve(OWNER, 120)
        await link.reset()  # of nothing: it does no harm
