"""Small parts of the report's page."""

from __future__ import annotations

from ucm_provision.documents import Quality, SignalView
from ucm_provision.site.report.markup import Html, element

_WORDS = {
    "verified": "verified",
    "verified_with_warning": "verified, with a warning",
    "not_well": "no longer well",
    "not_verified": "not verified",
    "done": "done",
    "open": "open",
    "refused": "refused",
    "cancelled": "cancelled",
}
_CHECK = "M2 8.5l4 4L14 4"
_TRIANGLE = "M8 2.2L14.6 14H1.4zM8 6.2v4M8 11.6v1"
_CROSS = "M3 3l10 10M13 3L3 13"
_SHAPES = {"verified": _CHECK, "done": _CHECK, "verified_with_warning": _TRIANGLE, "open": _TRIANGLE}

_BARS: dict[Quality, int] = {"weak": 1, "fair": 2, "good": 3, "strong": 4}


def badge(result: str) -> Html:
    """A result in words, with a colour and a shape of its own."""
    shape = element("path", d=_SHAPES.get(result, _CROSS))
    icon = element(
        "svg",
        shape,
        viewBox="0 0 16 16",
        fill="none",
        stroke="currentColor",
        stroke_width="2",
        stroke_linecap="round",
        stroke_linejoin="round",
        aria_hidden="true",
    )
    return element("span", icon, _WORDS[result], class_=f"badge {result}")


def fact(name: str, *value: str | None, class_: str | None = None) -> Html | None:
    """A line of a list of facts, or nothing where nothing is known."""
    known = [each for each in value if each]
    if not known:
        return None
    shown = (each if isinstance(each, Html) else element("bdi", each) for each in known)
    return element("div", element("dt", name), element("dd", *shown), class_=class_)


def code(value: str | None) -> Html | None:
    return element("code", value) if value else None


def signal_bars(signal: SignalView) -> Html:
    """Four bars, as a phone shows them; the words beside them are the caller's."""
    lit = _BARS[signal["quality"]]
    bars = (_bar(number, lit=number < lit) for number in range(len(_BARS)))
    class_ = f"bars {signal['quality']}"
    return element("svg", *bars, viewBox="0 0 20 16", fill="currentColor", class_=class_, aria_hidden="true")


def _bar(number: int, *, lit: bool) -> Html:
    height = 4 + 4 * number
    return element("path", d=f"M{5 * number} {16 - height}h4v{height}h-4z", class_=None if lit else "off")
