"""Power fails before and after every single write: what boots is the old configuration or the new one."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sim.rig import TransactionRig
from ucm_sim.flash import Flash, FlashUnreadableError
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.slots import LAST_BOOT_OF_A_TRIAL, Progress, Slots

Step = Callable[[TransactionRig], None]


class PowerCutError(Exception):
    """The power is gone."""


def cutting(at: int, done: bool) -> Callable[[int, bool], None]:
    def on_write(count: int, written: bool) -> None:
        if (count, written) == (at, done):
            raise PowerCutError

    return on_write


def configuration(generation: int) -> pb.ModuleConfig:
    """Every field of generation n says n: a mixture would show."""
    return pb.ModuleConfig(
        device_id=f"device-{generation}",
        hardware_id="C8795CBA5375484E829105E959663C8B",
        mqtt_host=f"host-{generation}",
        mqtt_port=1000 + generation,
        password=pb.MqttPassword(username=f"user-{generation}", password=f"secret-{generation}"),
        wifi=[pb.Wifi(ssid=f"net-{generation}", passphrase=f"passphrase-{generation}")],
    )


def commit(rig: TransactionRig) -> None:
    base, generation = rig.slots.active.generation if rig.slots.active else 0, rig.slots.next_generation
    transaction = bytes([generation]) * 16
    rig.stage(configuration(generation).SerializeToString(), base=base, transaction=transaction)
    rig.commit(transaction)


def confirm(rig: TransactionRig) -> None:
    rig.slots.confirm(pb.ONLINE)


def roll_back(rig: TransactionRig) -> None:
    rig.slots.roll_back(pb.TLS, pb.TLS_UNTRUSTED)


def reset(rig: TransactionRig) -> None:
    rig.slots.reset()


def boot(rig: TransactionRig) -> None:
    rig.slots.count_boot()


def save_progress(rig: TransactionRig) -> None:
    rig.slots.keep_progress(12_000, Progress().entered(pb.TLS))


def facts(slots: Slots) -> tuple[object, ...]:
    """All that a client could see of the stored state, with every configuration checked to be whole."""
    for held in (slots.active, slots.tried):
        if held is not None:
            assert held.module_config == configuration(held.generation)
    last = slots.last_trial.message() if slots.last_trial else None
    return slots.active, slots.tried, slots.trial, slots.failed_transaction, str(last), str(slots.wifi)


HISTORIES: dict[str, tuple[list[Step], Step]] = {
    "first commit": ([], commit),
    "first confirmation": ([commit], confirm),
    "first roll-back": ([commit], roll_back),
    "second commit": ([commit, confirm], commit),
    "second confirmation": ([commit, confirm, commit], confirm),
    "second roll-back": ([commit, confirm, commit], roll_back),
    "third commit": ([commit, confirm, commit, confirm], commit),
    "reset": ([commit, confirm], reset),
    "reset on trial": ([commit, confirm, commit], reset),
    "boot on trial": ([commit, confirm, commit], boot),
    "fourth boot on trial": ([commit, confirm, commit, *[boot] * (LAST_BOOT_OF_A_TRIAL - 1)], boot),
    "progress": ([commit], save_progress),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_old_or_new_and_never_a_mixture(name: str, tmp_path: Path) -> None:
    history, step = HISTORIES[name]
    before, after, cut = tmp_path / "before", tmp_path / "after", tmp_path / "cut"
    prepare(before, history)
    shutil.copy(before, after)
    whole = TransactionRig(after)
    step(whole)
    old, new = facts(Slots(Flash(before))), facts(Slots(Flash(after)))
    assert old != new
    outcomes = []
    for count in range(1, whole.flash.writes + 1):
        for done in (False, True):
            shutil.copy(before, cut)
            with pytest.raises(PowerCutError):
                step(TransactionRig(Flash(cut, cutting(count, done))))
            booted = TransactionRig(cut)
            outcomes.append(facts(booted.slots))
            assert_unused_slots_are_erased(booted)
    # Old up to one of the writes, new from there on: that write is the flip.
    flip = outcomes.index(new)
    assert outcomes == [old] * flip + [new] * (len(outcomes) - flip)
    assert flip


def prepare(path: Path, history: list[Step]) -> None:
    rig = TransactionRig(path)
    rig.slots.store_wifi([pb.Wifi(ssid="factory", passphrase="x")])
    for past in history:
        past(rig)


def assert_unused_slots_are_erased(rig: TransactionRig) -> None:
    in_use = (rig.slots.active is not None) + (rig.slots.tried is not None)
    written = [name for name in ("slot-0", "slot-1") if rig.flash.read(name)]
    assert len(written) == in_use


def test_a_generation_that_was_answered_is_never_issued_again(tmp_path: Path) -> None:
    issued: list[int] = []
    for _ in range(4):
        rig = TransactionRig(tmp_path / "flash")
        issued.append(rig.push(configuration(rig.slots.next_generation).SerializeToString()).generation)
        rig.slots.roll_back(pb.WIFI, pb.WIFI_NOT_FOUND)
    assert issued == [1, 2, 3, 4]


def test_the_fourth_boot_gives_the_trial_up(tmp_path: Path) -> None:
    rig = TransactionRig(tmp_path / "flash")
    commit(rig)
    rig.slots.keep_progress(1000, Progress().entered(pb.MQTT).failed_in(pb.MQTT, pb.MQTT_NOT_AUTHORIZED))
    for _ in range(3):
        Slots(Flash(tmp_path / "flash")).count_boot()
        assert Slots(Flash(tmp_path / "flash")).tried is not None
    Slots(Flash(tmp_path / "flash")).count_boot()
    last = Slots(Flash(tmp_path / "flash")).last_trial
    assert last is not None
    assert (last.phase, last.reason) == (pb.MQTT, pb.MQTT_NOT_AUTHORIZED)


def test_the_file_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    flash = Flash(tmp_path / "flash")
    flash.write("a", b"1")
    assert (tmp_path / "flash").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["flash"]


def test_equal_content_is_not_written(tmp_path: Path) -> None:
    flash = Flash(tmp_path / "flash")
    flash.write("a", b"1")
    flash.write("a", b"1")
    flash.erase("b")
    assert flash.writes == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2, "regions": {}}', b"not json"])
def test_a_file_that_is_no_flash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "flash").write_bytes(content)
    with pytest.raises(FlashUnreadableError):
        Flash(tmp_path / "flash")


WRITER = """
import sys
from pathlib import Path
from ucm_sim.flash import Flash
flash = Flash(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    flash.write("pair", (b"%08d" % number) * 2000)
    print(number, flush=True)
"""


def test_a_killed_process_leaves_one_whole_write(tmp_path: Path) -> None:
    path = tmp_path / "flash"
    for kills in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(3 + kills):
                done = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            done = int((writer.stdout.read().split() or [str(done).encode()])[-1])
        pair = Flash(path).read("pair")
        assert pair in {(b"%08d" % number) * 2000 for number in (done, done + 1)}
        path.unlink()
