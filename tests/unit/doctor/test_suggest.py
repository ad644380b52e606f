"""The rules that are suggested, read as udev would, and the words around them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.doctor.boxes import put
from tests.unit.doctor.test_ports import CP2102, FTDI, OURS, PACKAGED, adapter
from tests.unit.udev import rules as udev
from tests.unit.udev.rules import Node, Verdict
from ucm_provision.cli.doctor_text import suggest_text
from ucm_provision.core.errors import UcmError
from ucm_provision.discovery import adapters
from ucm_provision.discovery.adapters import Adapter
from ucm_provision.doctor import suggest
from ucm_provision.doctor.shapes import SuggestAnswer
from ucm_provision.doctor.suggest import Suggestion

UNKNOWN = adapter("/dev/ttyUSB1", FTDI, maker="FTDI", model="FT232R USB UART", serial="A50285BI")
IGNORED = 'ENV{ID_MM_PORT_IGNORE}="1"'


def only(*present: Adapter) -> Suggestion:
    (found,) = suggest.suggest(present)
    return found


def properties(of: Adapter) -> dict[str, str]:
    """What udev has of it when it comes to the site's own rules."""
    facts = {
        "ID_VENDOR_ID": of.vendor,
        "ID_MODEL_ID": of.product,
        "ID_SERIAL_SHORT": of.serial,
        "ID_PATH": of.place,
        "ID_USB_INTERFACE_NUM": of.interface,
    }
    return {key: value for key, value in facts.items() if value}


def verdict(rule: str, of: Adapter, action: str = "add") -> Verdict:
    """After the packaged rules and the suggested one."""
    chain = [Node("tty"), Node("usb-serial", {"port_number": of.line}), Node("usb", {"idVendor": of.vendor})]
    return udev.apply(udev.parse(OURS) + udev.parse(rule), action, chain, properties(of))


@pytest.mark.parametrize(
    "found",
    [
        only(UNKNOWN),
        only(replace(UNKNOWN, serial="")),
        only(replace(UNKNOWN, serial='odd "quote"*?[x]|`$\'\\')),
    ],
)
def test_a_suggested_rule_makes_the_adapter_a_module_s(found: Suggestion) -> None:
    made = verdict(found.rule, found.adapter)
    assert (made.properties["ID_UCM"], made.group, made.mode) == ("1", "ucm-provision", "0660")
    assert (made.properties["ID_MM_PORT_IGNORE"], made.tags) == ("1", {"systemd"})
    assert made.properties["SYSTEMD_WANTS"] == "ucm-provisiond.service"
    assert "ID_UCM" not in verdict(found.rule, found.adapter, "remove").properties


def test_by_its_serial_number_it_is_known_wherever_it_is_plugged_in() -> None:
    found = only(UNKNOWN)
    assert (found.by, found.why) == ("serial", "")
    assert verdict(found.rule, replace(UNKNOWN, place="elsewhere")).properties["ID_UCM"] == "1"
    assert "ID_UCM" not in verdict(found.rule, replace(UNKNOWN, serial="A50285BJ")).properties


@pytest.mark.parametrize("serial", ["", "0", "0001", "00000000", "FFFFFFFF", "0123456789ABCDEF", "123456", "12345678"])
def test_by_its_place_where_the_serial_number_is_everybody_s(serial: str) -> None:
    found = only(replace(UNKNOWN, serial=serial))
    assert found.by == "place"
    assert serial in found.why
    assert "ID_UCM" not in verdict(found.rule, replace(UNKNOWN, place="elsewhere")).properties
    assert "ID_SERIAL" not in found.rule


@pytest.mark.parametrize("serial", ["A50285BI", "34:85:18:AB:CD:EF", "0001A", "5647012"])
def test_a_serial_number_that_is_one(serial: str) -> None:
    assert only(replace(UNKNOWN, serial=serial)).by == "serial"


def test_two_with_one_serial_number_are_told_apart_by_place() -> None:
    twin = replace(UNKNOWN, node="/dev/ttyUSB2", place="pci-0000:00:14.0-usb-0:2:1.0", device="/devices/usb1/1-2")
    one, other = suggest.suggest([UNKNOWN, twin])
    assert (one.by, other.by) == ("place", "place")
    assert one.why == "another one here has the same serial number, A50285BI"
    assert "ID_UCM" not in verdict(one.rule, twin).properties
    assert "ID_UCM" not in verdict(other.rule, UNKNOWN).properties


def test_a_twin_counts_though_it_is_a_module_s_already() -> None:
    twin = replace(UNKNOWN, node="/dev/ttyUSB2", device="/devices/usb1/1-2", mark="1")
    (found,) = suggest.suggest([UNKNOWN, twin])
    assert (found.adapter, found.by) == (UNKNOWN, "place")


def test_the_ports_of_one_adapter_are_told_apart() -> None:
    second = replace(UNKNOWN, node="/dev/ttyUSB2", interface="01", place="pci-0000:00:14.0-usb-0:1:1.1")
    one, other = suggest.suggest([UNKNOWN, second])
    assert (one.by, other.by) == ("serial", "serial")
    assert verdict(one.rule, UNKNOWN).properties["ID_UCM"] == "1"
    assert "ID_UCM" not in verdict(one.rule, second).properties
    assert "ID_UCM" not in verdict(other.rule, UNKNOWN).properties


def test_the_ports_of_one_interface_are_told_apart() -> None:
    second = replace(UNKNOWN, node="/dev/ttyUSB2", line="1")
    one, other = suggest.suggest([UNKNOWN, second])
    assert verdict(one.rule, UNKNOWN).properties["ID_UCM"] == "1"
    assert "ID_UCM" not in verdict(one.rule, second).properties
    assert "ID_UCM" not in verdict(other.rule, UNKNOWN).properties


@pytest.mark.parametrize("mark", ["1", "0"])
def test_what_udev_has_an_opinion_of_is_not_suggested(mark: str) -> None:
    assert suggest.suggest([replace(UNKNOWN, mark=mark)]) == []


# ---- what is printed -----------------------------------------------------------------------------


def answer(monkeypatch: pytest.MonkeyPatch, root: Path, *present: Adapter) -> SuggestAnswer:
    monkeypatch.setattr(suggest, "present", lambda: present)
    put(root, PACKAGED, OURS)
    return suggest.answer(root)


def test_the_shape_for_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marked = adapter(ids=CP2102, mark="1")
    found = answer(monkeypatch, tmp_path, marked, UNKNOWN, replace(UNKNOWN, node="/dev/ttyUSB7", place=""))
    rule = (
        'ACTION!="remove", SUBSYSTEM=="tty", ENV{ID_VENDOR_ID}=="0403", ENV{ID_MODEL_ID}=="6001", '
        'ENV{ID_SERIAL_SHORT}=="A50285BI", ENV{ID_USB_INTERFACE_NUM}=="00", ATTRS{port_number}=="0", ENV{ID_UCM}="1", '
        f'{IGNORED}, GROUP="ucm-provision", MODE="0660", TAG+="systemd", ENV{{SYSTEMD_WANTS}}+="ucm-provisiond.service"'
    )
    assert found == {
        "rule_missing": False,
        "marked": ["/dev/ttyUSB0"],
        "nameless": ["/dev/ttyUSB7"],
        "suggestions": [
            {
                "port": "/dev/ttyUSB1",
                "vendor": "0403",
                "product": "6001",
                "title": "FTDI FT232R USB UART, 0403:6001",
                "serial": "A50285BI",
                "place": "pci-0000:00:14.0-usb-0:1:1.0",
                "by": "serial",
                "why": None,
                "file": "/etc/udev/rules.d/71-ucm-site.rules",
                "rule": rule,
                "commands": [
                    f"echo '{rule}' | sudo tee -a /etc/udev/rules.d/71-ucm-site.rules",
                    "sudo udevadm control --reload && sudo udevadm trigger /dev/ttyUSB1",
                ],
            }
        ],
    }


def test_a_shell_writes_the_rule_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = only(replace(UNKNOWN, serial="odd'; touch x; '$(touch y)"))
    file = tmp_path / "rules"
    command = found.commands[0].replace("sudo tee -a /etc/udev/rules.d/71-ucm-site.rules", f"tee -a {file}")
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert file.read_text() == f"{found.rule}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rules"]


def test_a_person_is_warned_of_what_opening_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = suggest_text(answer(monkeypatch, tmp_path, UNKNOWN))
    assert text.splitlines()[0] == "/dev/ttyUSB1: FTDI FT232R USB UART, 0403:6001, serial number A50285BI."
    assert "Opening a port may reset what hangs on it" in text
    assert "wherever that is" in text
    assert "Note:" not in text


def test_a_person_is_told_why_it_goes_by_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = suggest_text(answer(monkeypatch, tmp_path, replace(UNKNOWN, serial="")))
    assert "goes by the socket it is plugged into, because it has no serial number" in text


def test_a_person_is_told_that_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = suggest_text(answer(monkeypatch, tmp_path, adapter(mark="1")))
    assert text.startswith("No unknown USB serial adapter is plugged in. Known as modules' ports: /dev/ttyUSB0.")


def test_without_udev_patterns_are_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = suggest_text(answer(monkeypatch, tmp_path, replace(UNKNOWN, place="", serial="")))
    assert '    globs = ["/dev/ttyUSB1"]' in text


def test_a_missing_rule_is_mended_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(suggest, "present", lambda: (UNKNOWN,))
    assert suggest_text(suggest.answer(tmp_path)).startswith("Note: the rule that knows UCM kits' own adapters")


def test_without_libudev_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError

    monkeypatch.setattr(suggest, "present", broken)
    with pytest.raises(UcmError, match="sudo apt install libudev1"):
        suggest.answer()


def test_a_container_s_rule_is_the_machine_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(suggest, "present", lambda: (UNKNOWN,))
    put(tmp_path, "/.dockerenv", "")
    assert not suggest.answer(tmp_path)["rule_missing"]


def test_titles() -> None:
    assert replace(UNKNOWN, maker="").title == "FT232R USB UART, 0403:6001"
    assert replace(UNKNOWN, maker="", model="").title == "0403:6001"


def test_ports_are_listed_in_the_order_of_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [replace(UNKNOWN, node=f"/dev/ttyUSB{number}") for number in (10, 9, 100)]
    monkeypatch.setattr(adapters, "_adapters", lambda: iter(found))
    assert [each.node for each in adapters.present()] == ["/dev/ttyUSB9", "/dev/ttyUSB10", "/dev/ttyUSB100"]
