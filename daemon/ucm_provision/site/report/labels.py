"""A label for each thing that somebody may have to find again: who it is, in words and as a QR code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ucm_provision.core.kinds import Kind
from ucm_provision.core.text import one_line
from ucm_provision.documents import ReportView
from ucm_provision.site.report.markup import Html, element, joined

# As many as on the common sheet of 63.5 x 33.9 mm labels; report.css has its measures.
PER_SHEET = 24
# A longer name makes a code that a phone cannot read at this size.
_NAME_LONGEST = 48
_GROUP = 8
# These run on something else, which has a label of its own.
_NOT_THERE = frozenset({Kind.VUCM.value, Kind.STANDALONE.value, Kind.LUA_DEVICE.value, "replace"})


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    hardware_id: str
    device_id: str
    slug: str

    @property
    def text(self) -> str:
        """What a phone reads: a line each for name, hardware id and device id. Nothing of it is secret."""
        return f"{self.name}\n{self.hardware_id}\n{self.device_id}"


def labels(report: ReportView) -> Iterator[Label]:
    """Of everything that can be touched and whose device is certain."""
    for module in report["modules"]:
        if module["result"] != "not_verified" and module["hardware_id"] and module["device_id"]:
            yield _label(module["name"], module["hardware_id"], module["device_id"], module["slug"])
        for slave in module["attached"]:
            if slave["device_id"]:
                yield _label(slave["name"], slave["hardware_id"], slave["device_id"], None)
    for order in report["by_hand"]:
        if order["kind"] not in _NOT_THERE and order["hardware_id"] and order["device_id"]:
            yield _label(order["name"], order["hardware_id"], order["device_id"], order["slug"])


def _label(name: str | None, hardware_id: str, device_id: str, slug: str | None) -> Label:
    return Label(one_line(name or hardware_id, _NAME_LONGEST), hardware_id, device_id, slug or "")


def label_sheets(chosen: Sequence[Label]) -> Html:
    """The sheets, each a page of its own when printed."""
    sheets = [chosen[start : start + PER_SHEET] for start in range(0, len(chosen), PER_SHEET)]
    return joined(element("div", *map(_as_html, sheet), class_="sheet") for sheet in sheets)


def _as_html(label: Label) -> Html:
    groups = [label.hardware_id[at : at + _GROUP] for at in range(0, len(label.hardware_id), _GROUP)]
    return element(
        "div",
        element("div", _qr_code(label.text), class_="qr", role="img", aria_label=f"QR code of {label.name}"),
        element(
            "div",
            element("div", element("bdi", label.name), class_="name"),
            element("code", *(element("span", group) for group in groups)),
            element("p", element("bdi", label.slug or label.device_id), class_="small"),
            class_="words",
        ),
        class_="label",
    )


def _qr_code(text: str) -> Html:
    """Error correction M: a quarter of the code's area may be scratched or dirty, half of that anywhere."""
    import segno  # noqa: PLC0415 -- a daemon that prints no report does without it

    code = segno.make_qr(text, error="m", encoding="utf-8")
    return Html(code.svg_inline(omitsize=True, border=2, svgclass=None, lineclass=None))
