"""The udev rules: which ports they mark, what they do to them, and that nothing else is touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.udev import rules
from tests.unit.udev.rules import Node, RuleError, Verdict

ROOT = Path(__file__).parents[3]
FILE = ROOT / "hardware" / "udev" / "70-ucm-provision.rules"
CP2102, CH340, NATIVE = ("10c4", "ea60"), ("1a86", "7523"), ("303a", "1001")
FTDI = ("0403", "6001")
KIT = pytest.mark.parametrize("ids", [CP2102, CH340, NATIVE], ids=["CP2102", "CH340", "native USB"])
IGNORED_BY_OTHERS = {"ID_MM_DEVICE_IGNORE": "1", "ID_MM_PORT_IGNORE": "1", "MTP_NO_PROBE": "1"}
HUB = Node("usb", {"idVendor": "1d6b", "idProduct": "0002"})


def usb_device(ids: tuple[str, str]) -> Node:
    return Node("usb", {"idVendor": ids[0], "idProduct": ids[1]})


def terminal(ids: tuple[str, str], action: str = "add", more: str = "", **properties: str) -> Verdict:
    """What becomes of a serial port on a bridge with these ids; ``more`` are rules of the site's own."""
    chain = [Node("tty"), Node("usb-serial"), Node("usb"), usb_device(ids), HUB]
    return rules.apply(rules.load(FILE) + rules.parse(more), action, chain, properties)


@KIT
@pytest.mark.parametrize("action", ["add", "change", "bind"])
def test_a_kit_s_port_is_marked_and_given_to_the_daemon(ids: tuple[str, str], action: str) -> None:
    verdict = terminal(ids, action)
    assert verdict.properties == {"ID_UCM": "1", "SYSTEMD_WANTS": "ucm-provisiond.service", **IGNORED_BY_OTHERS}
    assert (verdict.group, verdict.mode, verdict.tags) == ("ucm-provision", "0660", {"systemd"})


@KIT
def test_of_the_usb_device_itself_others_are_kept_away_and_no_more(ids: tuple[str, str]) -> None:
    properties = {"DEVTYPE": "usb_device"}
    verdict = rules.apply(rules.load(FILE), "add", [usb_device(ids), HUB], properties)
    assert verdict == Verdict(properties | IGNORED_BY_OTHERS)


@pytest.mark.parametrize(
    "chain",
    [
        [Node("tty"), Node("usb"), usb_device(FTDI), HUB],
        [Node("tty"), Node("platform")],
        # neither vendor nor product alone, nor the two of different devices
        [Node("tty"), usb_device(("10c4", "7523")), HUB],
        [Node("tty"), usb_device(("10c4", "0001")), usb_device(("0001", "ea60"))],
        # something else on the same chip
        [Node("net"), usb_device(CP2102)],
        [Node("usb"), usb_device(CP2102)],
    ],
)
def test_everything_else_is_left_alone(chain: list[Node]) -> None:
    assert rules.apply(rules.load(FILE), "add", chain, {"DEVTYPE": "usb_interface"}) == Verdict(
        {"DEVTYPE": "usb_interface"}
    )


def test_nothing_is_done_to_what_is_removed() -> None:
    assert terminal(CP2102, "remove") == Verdict({})


def test_other_units_that_want_the_port_still_get_it() -> None:
    wants = terminal(CP2102, SYSTEMD_WANTS="other.service").properties["SYSTEMD_WANTS"]
    assert wants == "other.service ucm-provisiond.service"


def documented(number: int) -> str:
    """A rule of a site's own, as the file's head shows it."""
    return [line.removeprefix("#   ") for line in FILE.read_text().splitlines() if line.startswith("#   SUBSYSTEM")][
        number
    ]


def test_the_documented_exception_by_serial_number() -> None:
    assert terminal(CP2102, more=documented(0), ID_SERIAL_SHORT="0001").properties["ID_UCM"] == "0"
    assert terminal(CP2102, more=documented(0), ID_SERIAL_SHORT="0002").properties["ID_UCM"] == "1"


def test_the_documented_restriction_to_a_hub() -> None:
    inside, outside = "pci-0000:00:14.0-usb-0:2.3:1.0", "pci-0000:00:14.0-usb-0:3:1.0"
    assert terminal(CP2102, more=documented(1), ID_PATH=inside).properties["ID_UCM"] == "1"
    verdict = terminal(CP2102, more=documented(1), ID_PATH=outside)
    assert (verdict.properties["ID_UCM"], verdict.group) == ("0", "dialout")


def test_the_documented_further_adapter() -> None:
    verdict = terminal(FTDI, more=documented(2), ID_VENDOR_ID=FTDI[0], ID_MODEL_ID=FTDI[1])
    assert (verdict.properties["ID_UCM"], verdict.group) == ("1", "ucm-provision")
    assert "ID_UCM" not in terminal(FTDI, more=documented(2), ID_VENDOR_ID="0403", ID_MODEL_ID="6015").properties


def test_it_comes_after_serial_numbers_and_before_modemmanager() -> None:
    (file,) = FILE.parent.iterdir()
    assert 60 < int(file.name.partition("-")[0]) < 73


def test_ids_are_written_as_sysfs_has_them_and_stand_nowhere_else() -> None:
    ids = [t.value for rule in rules.load(FILE) for t in rule if t.attribute in ("idVendor", "idProduct")]
    assert all(re.fullmatch("[0-9a-f]{4}", each) for each in ids)
    vendors = re.compile(rf"\b(0x)?({'|'.join(ids[::2])})\b", re.IGNORECASE)
    sources = [file for folder in ("daemon", "config", "systemd") for file in (ROOT / folder).rglob("*.*")]
    assert len(sources) > 50
    assert [
        f
        for f in sources
        if f.suffix != ".pyc" and f.is_file() and not f.is_symlink() and vendors.search(f.read_text())
    ] == []


@pytest.mark.parametrize(
    "mistake",
    [
        'ENV{ID_UCM}=="1" GROUP="x"',
        'ENV{ID_UCM}=="1",',
        'ENV{ID_UCM}="1',
        'ENVIRONMENT{ID_UCM}="1"',
        'GROUP=="x"',
        'ACTION="add"',
        'ATTRS{idVendor}="10c4"',
        'TAG{x}+="systemd"',
        'RUN+="/bin/true"',
        'PROGRAM=="/bin/true"',
        'IMPORT{program}="/bin/true"',
        'GOTO="nowhere"',
        'ENV{X}="1" # a comment',
    ],
)
def test_a_mistake_would_show(mistake: str) -> None:
    with pytest.raises(RuleError):
        rules.parse(mistake)
