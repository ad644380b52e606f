"""Serial ports: marked, overlooked, closed, or in somebody else's hands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import NOBODY, box_at, process, put, unprivileged
from ucm_provision.core.errors import Code
from ucm_provision.discovery.adapters import Adapter
from ucm_provision.doctor import adapters, brltty, holders, modemmanager, ports, rule, rules
from ucm_provision.doctor.account import Account
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.brltty import Signs
from ucm_provision.doctor.finding import Finding, Level
from ucm_provision.doctor.usb import ModulePort, module_ports
from ucm_provision.transports.port_holder import Holder

ROOT = Path(__file__).parents[3]
OURS = (ROOT / "hardware/udev/70-ucm-provision.rules").read_text()
PACKAGED, SITE_S = "/usr/lib/udev/rules.d/70-ucm-provision.rules", "/etc/udev/rules.d/70-ucm-provision.rules"
RELOAD = "sudo udevadm control --reload && sudo udevadm trigger"
CP2102, FTDI = ("10c4", "ea60"), ("0403", "6001")
DAEMON = Account("ucm-provision", 990, frozenset({990, 20}))


def adapter(node: str = "/dev/ttyUSB0", ids: tuple[str, str] = CP2102, **changes: object) -> Adapter:
    known = Adapter(
        node=node,
        number=os.makedev(188, 0),
        mark="",
        is_settled=True,
        vendor=ids[0],
        product=ids[1],
        maker="Silicon Labs",
        model="CP2102",
        serial="0001",
        place="pci-0000:00:14.0-usb-0:1:1.0",
        interface="00",
        line="0",
        device="/devices/usb1/1-1",
        modems_keep_off=False,
    )
    return replace(known, **changes)


def node(mode: int = 0o660, group: int = 990, major: int = 188) -> os.stat_result:
    """A character device's. The kernel's own record has more fields than a tuple of ten; the number is the 13th."""
    fields: dict[str, int] = {"st_rdev": os.makedev(major, 0)}
    return os.stat_result((0o020000 | mode, 0, 0, 1, 0, group, 0, 0, 0, 0), fields)


def port(name: str = "/dev/ttyUSB0", *, by_udev: bool = True, known: Adapter | None = None) -> ModulePort:
    return ModulePort(name, by_udev, node(), known)


# ---- the rule ------------------------------------------------------------------------------------


def ruled(folder: Path, toml: str = "") -> list[Finding]:
    return list(rule.check(box_at(folder, toml)))


def test_the_package_s_rule(tmp_path: Path) -> None:
    file = put(tmp_path, PACKAGED, OURS)
    (found,) = ruled(tmp_path)
    assert (found.level, found.summary) == (Level.OK, f"{file} marks modules' ports.")


def test_a_site_s_own_file_of_the_same_name_wins(tmp_path: Path) -> None:
    packaged, own = put(tmp_path, PACKAGED, OURS), put(tmp_path, SITE_S, OURS)
    (found,) = ruled(tmp_path)
    assert (found.level, found.summary) == (Level.OK, f"{own} marks modules' ports, in place of {packaged}.")


@pytest.mark.parametrize("content", ["", '# ENV{ID_UCM}="1"\n', None])
def test_a_file_that_switches_the_package_s_off(tmp_path: Path, content: str | None) -> None:
    put(tmp_path, PACKAGED, OURS)
    own = put(tmp_path, SITE_S, content or "")
    if content is None:
        own.unlink()
        own.symlink_to("/dev/null")
    (found,) = ruled(tmp_path)
    assert (found.level, found.mend) == (Level.PROBLEM, f"sudo rm {own} && {RELOAD} --subsystem-match=tty")


def test_no_rule(tmp_path: Path) -> None:
    (found,) = ruled(tmp_path)
    assert (found.level, found.mend) == (Level.PROBLEM, "sudo apt install --reinstall ./ucm-provisiond_*.deb")


def test_a_rule_that_marks_nothing(tmp_path: Path) -> None:
    put(tmp_path, PACKAGED, "")
    (found,) = ruled(tmp_path)
    assert found.level is Level.PROBLEM


def test_no_rule_is_wanted(tmp_path: Path) -> None:
    (found,) = ruled(tmp_path, "[usb]\nudev = false\n")
    assert found.level is Level.OK


def test_a_container_s_rule_is_the_machine_s(tmp_path: Path) -> None:
    put(tmp_path, "/.dockerenv", "")
    (found,) = ruled(tmp_path)
    assert found.level is Level.SKIPPED


def test_an_exception_that_is_read_too_early(tmp_path: Path) -> None:
    put(tmp_path, PACKAGED, OURS)
    put(tmp_path, "/etc/udev/rules.d/71-ucm-site.rules", 'ENV{ID_UCM}="0"')
    early = put(tmp_path, "/etc/udev/rules.d/60-mine.rules", 'ENV{ID_UCM}="0"')
    _, found = ruled(tmp_path)
    moved = early.with_name("71-ucm-site.rules")
    assert (found.level, found.mend) == (Level.WARN, f"sudo mv {early} {moved} && {RELOAD} --subsystem-match=tty")


def test_folders_that_are_one_are_read_once(tmp_path: Path) -> None:
    """/lib is a link to /usr/lib nowadays."""
    file = put(tmp_path, PACKAGED, OURS)
    (tmp_path / "lib").symlink_to("usr/lib")
    assert rules.named(tmp_path, rules.OURS) == [file]
    assert rules.in_force(tmp_path) == [file]


def test_the_ids_in_rules() -> None:
    assert rules.ids(OURS) == {CP2102, ("1a86", "7523"), ("303a", "1001")}
    braille = 'ENV{PRODUCT}=="403/6001/*", ATTRS{manufacturer}=="Hedo"\nATTR{idVendor}=="10C4", ATTR{idProduct}=="EA60"'
    assert rules.ids(braille) == {FTDI, CP2102}
    assert rules.ids('ATTR{idVendor}=="10c4"\nATTR{idProduct}=="ea60"') == frozenset()


# ---- what is plugged in --------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[Path]:
    """A serial port as good as any."""
    master, slave = os.openpty()
    yield Path(os.ttyname(slave))
    os.close(master)
    os.close(slave)


def at(folder: Path, terminal: Path) -> Box:
    """A box whose configuration names the terminal, by a link as the operators like them."""
    link = folder / "etc/ucm-provision/ttyUCM0"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(terminal)
    return box_at(folder, '[usb]\nudev = false\nglobs = ["ttyUCM*"]\n')


def test_a_port_that_a_pattern_names(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    (named,) = module_ports(box)
    assert (named.name, named.by_udev) == (f"{tmp_path}/etc/ucm-provision/ttyUCM0", False)
    (found,) = ports.check(box)
    assert (found.level, found.summary) == (Level.OK, f"Modules' ports: {named.name}.")


def test_a_port_that_two_patterns_name_is_one(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    box.path.write_text(box.path.read_text().replace('["ttyUCM*"]', f'["ttyUCM*", "ttyUCM0", "{tmp_path}/nothing*"]'))
    assert len(module_ports(box)) == 1


def test_nothing_is_plugged_in(tmp_path: Path) -> None:
    (found,) = ports.check(box_at(tmp_path, '[usb]\nglobs = ["/nowhere/ttyUCM*"]\n'))
    assert (found.level, found.summary) == (Level.OK, "No module's port is plugged in.")


def test_a_box_that_never_finds_a_port(tmp_path: Path) -> None:
    (found,) = ports.check(box_at(tmp_path))
    assert found.level is Level.PROBLEM
    assert "udev does not run here and usb.globs is empty" in found.summary


def test_a_box_with_udev_finds_ports(tmp_path: Path) -> None:
    put(tmp_path, "/run/udev/data/.keep", "")
    (found,) = ports.check(box_at(tmp_path))
    assert found.level is Level.OK


def test_a_port_whose_node_is_not_shared_with_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = adapter("/dev/ttyUCM-of-nobody", mark="1")
    monkeypatch.setattr("ucm_provision.discovery.adapters.present", lambda: (known,))
    (found,) = ports.check(box_at(tmp_path))
    assert (found.level, found.code) == (Level.PROBLEM, Code.PORT_UNUSABLE)
    assert found.summary == "udev marks /dev/ttyUCM-of-nobody, but there is no such device here."


@pytest.mark.parametrize("failure", [ImportError(), OSError()])
def test_without_libudev_there_are_no_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def broken() -> None:
        raise failure

    monkeypatch.setattr("ucm_provision.discovery.adapters.present", broken)
    assert module_ports(box_at(tmp_path)) == ()


def then(command: str) -> str:
    return f"{command} && restart"


@pytest.mark.parametrize(
    ("by_udev", "in_container", "mend"),
    [
        (True, False, f"{RELOAD} /dev/ttyUSB0"),
        (False, False, "sudo usermod -aG root ucm-provision && restart"),
        (True, True, ""),
    ],
)
def test_a_port_that_the_daemon_s_user_may_not_open(by_udev: bool, in_container: bool, mend: str) -> None:
    closed = node(group=0)
    found = ports.denied(port(by_udev=by_udev), closed, DAEMON, in_container=in_container, then_restart=then)
    assert (found.level, found.code, found.mend) == (Level.PROBLEM, Code.PORT_DENIED, mend)
    assert "may not open /dev/ttyUSB0: it is root:root, mode 0660." in found.summary


def test_a_port_that_is_closed_is_found(tmp_path: Path, terminal: Path) -> None:
    terminal.chmod(0)
    box = at(tmp_path, terminal)
    box.account = Account("stranger", NOBODY, frozenset())
    (found,) = ports.check(box)
    assert found.code is Code.PORT_DENIED


USB_ONLY = {"DeviceAllow": "char-rtc r\nchar-166 rw\nchar-188 rw"}
DRIVERS = {188: "ttyUSB", 204: "ttyAMA", 4: "ttyS"}


@pytest.mark.parametrize(
    ("name", "major", "unit", "allowed"),
    [
        ("/dev/ttyUSB0", 188, USB_ONLY, True),
        ("/dev/ttyACM0", 166, USB_ONLY, True),
        ("/dev/ttyAMA0", 204, USB_ONLY, False),
        ("/dev/ttyAMA0", 204, {"DeviceAllow": "char-188 rw\nchar-ttyAMA rw"}, True),
        ("/dev/ttyAMA0", 204, {"DeviceAllow": "/dev/ttyAMA0 rw"}, True),
        ("/dev/ttyAMA0", 204, {}, True),
    ],
)
def test_what_the_service_s_sandbox_allows(name: str, major: int, unit: dict[str, str], *, allowed: bool) -> None:
    assert ports.is_allowed(name, node(major=major), unit, DRIVERS) is allowed


def test_a_port_that_the_sandbox_fences_off() -> None:
    found = ports.fenced("/dev/ttyAMA0", 204, DRIVERS)
    assert (found.level, found.code) == (Level.PROBLEM, Code.PORT_DENIED)
    assert "DeviceAllow=char-ttyAMA rw" in found.details[0]


def test_a_fenced_port_is_found(tmp_path: Path, terminal: Path) -> None:
    put(tmp_path, "/run/systemd/system/.keep", "")
    put(tmp_path, "/proc/devices", "Character devices:\n  4 ttyS\n136 pts\n\nBlock devices:\n  8 sd\n")
    at(tmp_path, terminal)
    unit = "LoadState=loaded\nActiveState=active\nMainPID=0\nUser=root\nDeviceAllow=char-188 rw\n"
    named = '[usb]\nudev = false\nglobs = ["ttyUCM*"]\n'
    (found,) = ports.check(box_at(tmp_path, named, commands={"systemctl": unit}))
    assert "DeviceAllow=char-pts rw" in found.details[0]


def test_adapters_that_nobody_has_said_anything_about() -> None:
    known, unknown = adapter(), adapter("/dev/ttyUSB1", FTDI, maker="FTDI", model="FT232R")
    overlooked, stranger = adapters.judge([known, unknown], {CP2102})
    assert (overlooked.level, overlooked.mend) == (Level.PROBLEM, f"{RELOAD} /dev/ttyUSB0")
    assert (stranger.level, stranger.mend) == (Level.WARN, "ucmctl suggest")
    assert stranger.summary.startswith("/dev/ttyUSB1 (FTDI FT232R, 0403:6001) is not known to be a module's")


def test_no_adapter_is_left_over() -> None:
    (found,) = adapters.judge([], {CP2102})
    assert found.level is Level.OK


# ---- rivals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "runs", "level"),
    [
        ([port(known=adapter())], False, "ok"),
        ([port(known=adapter())], True, "warn"),
        ([port(known=adapter(modems_keep_off=True))], True, "ok"),
        ([port()], True, "ok"),  # not on USB: ModemManager does not look there
        ([], True, "ok"),
    ],
)
def test_modemmanager(present: list[ModulePort], level: str, *, runs: bool) -> None:
    assert modemmanager.judge(present, runs=runs).level is Level(level)


def test_modemmanager_is_known_by_its_process(tmp_path: Path) -> None:
    process(tmp_path, 700, "ModemManager")
    (found,) = modemmanager.check(box_at(tmp_path))
    assert found.summary.startswith("ModemManager runs")


@pytest.mark.parametrize(
    ("signs", "level", "summary"),
    [
        (Signs(runs=False, claims="", caught=False), "ok", "not in the way"),
        (Signs(runs=True, claims="", caught=False), "warn", "runs."),
        (Signs(runs=False, claims="/usr/lib/x.rules", caught=False), "problem", "/usr/lib/x.rules"),
        (Signs(runs=True, claims="/usr/lib/x.rules", caught=True), "problem", "has taken"),
    ],
)
def test_brltty(signs: Signs, level: str, summary: str) -> None:
    found = brltty.judge(signs)
    assert found.level is Level(level)
    assert summary in found.summary
    assert found.mend == ("" if level == "ok" else "sudo apt remove brltty")


# The forms that brltty's own rules have had, for the ids of our kits and for others.
CLAIM = '# Device: 10C4:EA60\nENV{PRODUCT}=="10c4/ea60/*", ATTRS{manufacturer}=="Silicon Labs", GOTO="brltty_usb_run"\n'
OTHERS = 'ENV{PRODUCT}=="403/de58/*", ENV{BRLTTY_BRAILLE_DRIVER}="hd", GOTO="brltty_usb_run"\n'


@pytest.mark.parametrize(("claim", "level"), [(CLAIM, Level.PROBLEM), (OTHERS, Level.OK)])
def test_brltty_s_rules(tmp_path: Path, claim: str, level: Level) -> None:
    put(tmp_path, PACKAGED, OURS)
    put(tmp_path, "/usr/lib/udev/rules.d/85-brltty.rules", claim)
    (found,) = brltty.check(box_at(tmp_path))
    assert found.level is level


def test_the_kernel_s_log_convicts_brltty(tmp_path: Path) -> None:
    log = "[  3.1] usb 1-1: usbfs: interface 0 claimed by ch341 while 'brltty' sets config #1\n"
    (found,) = brltty.check(box_at(tmp_path, commands={"dmesg": log}))
    assert (found.level, found.code) == (Level.PROBLEM, Code.DEVICE_GONE)


# ---- who holds a port ----------------------------------------------------------------------------


def test_nobody_holds_it(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    (found,) = holders.check(box)
    assert (found.level, found.summary) == (Level.OK, "Nobody holds a module's port.")


def test_another_program_holds_it(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    process(tmp_path, 4711, "minicom", cgroup="0::/user.slice/user-1000.slice/session-1.scope\n")
    opened(tmp_path, 4711, terminal)
    (found,) = holders.check(box)
    assert (found.level, found.code, found.mend) == (Level.PROBLEM, Code.PORT_BUSY, "sudo kill 4711")
    assert found.summary.startswith(f"minicom (process 4711) holds {tmp_path}/etc/ucm-provision/ttyUCM0")


def opened(folder: Path, pid: int, terminal: Path) -> None:
    fd = folder / f"proc/{pid}/fd"
    fd.mkdir()
    (fd / "3").symlink_to(terminal)


def test_a_service_that_holds_it_is_stopped_as_one(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    process(tmp_path, 612, "agetty", cgroup="0::/system.slice/system-serial.slice/serial-getty@ttyUSB0.service\n")
    opened(tmp_path, 612, terminal)
    (found,) = holders.check(box)
    assert found.mend == "sudo systemctl disable --now serial-getty@ttyUSB0.service"


def test_the_daemon_itself_is_no_rival(tmp_path: Path, terminal: Path) -> None:
    box = at(tmp_path, terminal)
    box.daemon_pid = 112
    process(tmp_path, 112, "ucm-provisiond", cgroup="0::/system.slice/ucm-provisiond.service\n")
    opened(tmp_path, 112, terminal)
    (found,) = holders.check(box)
    assert (found.level, found.summary) == (Level.OK, "The daemon has modules' ports to itself.")


def test_without_root_nobody_can_be_sure(public: Path, terminal: Path) -> None:
    box = at(public, terminal)
    assert module_ports(box)
    with unprivileged():
        (found,) = holders.check(box)
    assert (found.level, found.needs_root) == (Level.SKIPPED, True)


def test_no_port_no_holder(tmp_path: Path) -> None:
    (found,) = holders.check(box_at(tmp_path))
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/ModemManager.service\n", "ModemManager.service"),
        ("1:name=systemd:/system.slice/brltty.service\n0::/\n", "brltty.service"),
        ("0::/system.slice/container.service/payload/b.service\n", "container.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", ""),
        ("0::/docker/0123\n", ""),
        ("", ""),
    ],
)
def test_the_service_of_a_process(cgroup: str, unit: str) -> None:
    assert holders.unit_of(cgroup) == unit


def test_a_name_for_the_shell_is_quoted() -> None:
    found = holders.busy(Holder("/dev/ttyUSB0", 7, "x"), r"serial\x2dthing.service")
    assert found.mend == r"sudo systemctl disable --now 'serial\x2dthing.service'"
