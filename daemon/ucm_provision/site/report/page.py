"""The commissioning report as one HTML file: no script, nothing from elsewhere, and fit to be printed on A4."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from ucm_provision.documents import ReportedModule, ReportView
from ucm_provision.site.report.labels import label_sheets, labels
from ucm_provision.site.report.markup import Html, element, joined
from ucm_provision.site.report.modules import attention, module_article, module_table
from ucm_provision.site.report.pieces import badge, fact
from ucm_provision.site.report.times import Local, day_and_time, zone
from ucm_provision.wire import OrderView

_TILES = (
    ("verified", "verified"),
    ("verified_with_warning", "verified with a warning"),
    ("not_well", "no longer well"),
    ("not_verified", "not verified"),
)


@cache
def _style() -> Html:
    """The style sheet. Only its own hash is let through by the file's policy, so nothing else can be styled in."""
    return Html(files("ucm_provision.site.report").joinpath("report.css").read_text(encoding="utf-8"))


@cache
def content_security_policy() -> str:
    """What a browser may do with the report: show it with its own style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render_html(report: ReportView, local: Local) -> str:
    head = (
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=content_security_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"Commissioning report, {_site(report)}, {day_and_time(local, report['created_at'])}"),
        element("style", _style()),
    )
    body = (element("main", *_main(report, local)), _labels(report))
    document = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!doctype html>\n{document}\n"


def _main(report: ReportView, local: Local) -> Iterable[Html | None]:
    yield _top(report, local)
    yield _summary(report)
    yield attention(report)
    if report["modules"]:
        yield element("section", element("h2", "Modules"), module_table(report["modules"]))
        articles = (module_article(number, each, local) for number, each in _numbered(report["modules"]))
        yield element("section", element("h2", "Module by module"), *articles)
    yield _by_hand(report["by_hand"], local)
    yield _signatures(report)


def _numbered(modules: list[ReportedModule]) -> Iterable[tuple[int, ReportedModule]]:
    return enumerate(modules, start=1)


def _site(report: ReportView) -> str:
    site = report["site"]
    return site["name"] or site["id"] or "site without a name"


def _top(report: ReportView, local: Local) -> Html:
    site, at = report["site"], report["created_at"]
    facts = (
        fact("Date", f"{day_and_time(local, at)} ({zone(local, at)})"),
        fact("Engineer", report["engineer"]),
        fact("Box", report["box"]),
        fact("Site id", site["id"] if site["name"] else None),
        fact("Provisioning API", report["api"] or None),
        fact("Made by", report["software"]),
        fact("Only what changed since", day_and_time(local, report["since"]) if report["since"] else None),
    )
    return element(
        "header",
        element("p", "Commissioning report", class_="kicker"),
        element("h1", element("bdi", _site(report))),
        element("dl", *facts, class_="facts"),
        class_="top",
    )


def _summary(report: ReportView) -> Html:
    counts = report["counts"]
    numbers = {key: counts[key] for key, _ in _TILES}  # type: ignore[literal-required]  # keys from above
    tiles = (
        element("li", element("b", str(numbers[key])), words, class_=f"{key} some" if numbers[key] else key)
        for key, words in _TILES
    )
    return element(
        "section",
        element("p", _verdict(report), class_="verdict"),
        element("ul", *tiles, class_="tiles"),
        *(element("p", sentence, class_="note") for sentence in _left_out(report)),
        class_="summary",
        aria_label="Result",
    )


def _verdict(report: ReportView) -> str:
    counts = report["counts"]
    well = counts["verified"] + counts["verified_with_warning"]
    if not counts["modules"]:
        return "No module was commissioned."
    if well == counts["modules"]:
        return "The module is verified." if well == 1 else f"All {well} modules are verified."
    return f"{well} of {counts['modules']} modules {'is' if well == 1 else 'are'} verified."


def _left_out(report: ReportView) -> Iterable[str]:
    counts = report["counts"]
    if older := counts["older"]:
        yield f"Not listed: {older} that nothing has changed about since then."
    if unapproved := counts["unapproved"]:
        yield f"Not listed: {unapproved} on the LAN that nobody has approved."


def _by_hand(orders: list[OrderView], local: Local) -> Html | None:
    if not orders:
        return None
    columns = ("What", "Name", "Hardware id", "Device id", "By", "When", "Result")
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    rows = (_order_row(order, local) for order in orders)
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("section", element("h2", "Added by hand, and replacements"), element("div", table, class_="scroll"))


def _order_row(order: OrderView, local: Local) -> Html:
    cells = (
        order["kind"].replace("_", " "),
        element("bdi", order["name"]),
        element("code", order["hardware_id"] or "-"),
        element("code", order["device_id"] or "-"),
        element("bdi", order["by"]),
        day_and_time(local, order["updated_at"]),
        badge(order["state"]),
    )
    return element("tr", *(element("td", cell) for cell in cells))


def _signatures(report: ReportView) -> Html:
    return element(
        "section",
        _signature("Commissioned by", report["engineer"]),
        _signature("Accepted by", None),
        class_="sign",
        aria_label="Signatures",
    )


def _signature(role: str, name: str | None) -> Html:
    lines = (("Name", name), ("Date", None), ("Signature", None))
    return element(
        "div", element("b", role), *(element("p", element("b", word), element("span", known)) for word, known in lines)
    )


def _labels(report: ReportView) -> Html | None:
    chosen = list(labels(report))
    if not chosen:
        return None
    about = "Printed on A4 without scaling, they fit sheets of 24 labels, 63.5 × 33.9 mm each."  # noqa: RUF001 -- the sign
    head = (element("h2", "Labels"), element("p", about, class_="note"))
    return element("section", joined(head), label_sheets(chosen), class_="sheets", aria_label="Labels")
