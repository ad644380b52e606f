"""The udev rule that makes an unknown USB serial adapter a module's port."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.discovery.adapters import Adapter, present
from ucm_provision.doctor import rules
from ucm_provision.doctor.box import is_container
from ucm_provision.doctor.shapes import SuggestAnswer, SuggestionView

FILE = f"/etc/udev/rules.d/{rules.SITE}"

# What makers leave in all their adapters: all zeros, ones or the like, and runs that begin with 0123 or 1234.
_MEANINGLESS = re.compile(r"0*1?|(.)\1*|0?1234[0-9A-Fa-f]*")
# udev replaces what is beyond this itself; here it would end the string or stand for something else.
_ODD = re.compile(r"[^A-Za-z0-9#+.:=@_/-]")
_ASSIGNS = (
    'ENV{ID_UCM}="1", ENV{ID_MM_PORT_IGNORE}="1", GROUP="ucm-provision", MODE="0660", '
    'TAG+="systemd", ENV{SYSTEMD_WANTS}+="ucm-provisiond.service"'
)

By = Literal["serial", "place"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """
    Attributes:
        by: What the rule knows the adapter by.
        why: Why not by its serial number; empty if it is.
        rule: The line for :data:`FILE`.
    """

    adapter: Adapter
    by: By
    why: str
    rule: str

    @property
    def commands(self) -> list[str]:
        """What to type: the rule into its file, then udev reads it and looks at the port again."""
        return [
            f"echo '{self.rule}' | sudo tee -a {FILE}",
            f"sudo udevadm control --reload && sudo udevadm trigger {self.adapter.node}",
        ]


def answer(root: Path = Path("/")) -> SuggestAnswer:
    """For what is plugged in now. ``root``: where the machine's rule files are.

    Raises:
        UcmError: port_unusable, where there is no libudev to ask.
    """
    try:
        adapters = present()
    except ImportError:
        raise UcmError(Code.PORT_UNUSABLE, "there is no libudev: sudo apt install libudev1") from None
    return SuggestAnswer(
        rule_missing=not rules.marked_ids(root) and not is_container(root),
        marked=[adapter.node for adapter in adapters if adapter.mark == "1"],
        nameless=[adapter.node for adapter in adapters if not adapter.mark and not adapter.place],
        suggestions=[view(suggestion) for suggestion in suggest(adapters)],
    )


def suggest(adapters: Sequence[Adapter]) -> list[Suggestion]:
    """One suggestion for each of ``adapters``, which are all that there are, of which udev says nothing."""
    return [_suggestion(adapter, adapters) for adapter in adapters if not adapter.mark and adapter.place]


def _suggestion(adapter: Adapter, others: Sequence[Adapter]) -> Suggestion:
    why = _useless(adapter, others)
    by: By = "place" if why else "serial"
    own = [("ID_PATH", adapter.place)] if why else [("ID_SERIAL_SHORT", adapter.serial), *_interface(adapter, others)]
    wanted = [("ID_VENDOR_ID", adapter.vendor), ("ID_MODEL_ID", adapter.product), *own]
    matches = ", ".join(f'ENV{{{key}}}=="{_ODD.sub("?", value)}"' for key, value in wanted)
    line = f', ATTRS{{port_number}}=="{adapter.line}"' if _shares_interface(adapter, others) else ""
    return Suggestion(adapter, by, why, f'ACTION!="remove", SUBSYSTEM=="tty", {matches}{line}, {_ASSIGNS}')


def _useless(adapter: Adapter, others: Sequence[Adapter]) -> str:
    """Why the serial number does not tell the adapter from others; empty if it does."""
    if not adapter.serial:
        return "it has no serial number"
    if _MEANINGLESS.fullmatch(adapter.serial):
        return f"its serial number, {adapter.serial}, is one that many have"
    devices = Counter((*each.ids, each.serial) for each in {each.device: each for each in others}.values())
    if devices[*adapter.ids, adapter.serial] > 1:
        return f"another one here has the same serial number, {adapter.serial}"
    return ""


def _interface(adapter: Adapter, others: Sequence[Adapter]) -> list[tuple[str, str]]:
    """Which of several ports of one adapter it is."""
    several = sum(each.device == adapter.device for each in others) > 1
    return [("ID_USB_INTERFACE_NUM", adapter.interface)] if several and adapter.interface else []


def _shares_interface(adapter: Adapter, others: Sequence[Adapter]) -> bool:
    same = sum((each.device, each.interface) == (adapter.device, adapter.interface) for each in others)
    return same > 1 and bool(adapter.line)


def view(suggestion: Suggestion) -> SuggestionView:
    adapter = suggestion.adapter
    return SuggestionView(
        port=adapter.node,
        vendor=adapter.vendor,
        product=adapter.product,
        title=adapter.title,
        serial=adapter.serial or None,
        place=adapter.place or None,
        by=suggestion.by,
        why=suggestion.why or None,
        file=FILE,
        rule=suggestion.rule,
        commands=suggestion.commands,
    )
