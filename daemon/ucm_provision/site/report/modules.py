"""The modules on the report's page: those that need attention, all of them in a table, and each by itself."""

from __future__ import annotations

from collections.abc import Iterator

from ucm_provision.documents import PastFailureView, ReportedModule, ReportView
from ucm_provision.site.report.markup import Html, element
from ucm_provision.site.report.pieces import badge, code, fact, signal_bars
from ucm_provision.site.report.times import Local, day_and_time
from ucm_provision.wire import AttachedView

# How much of a line a fact takes.
_HALF, _THREE_QUARTERS, _WIDE = "two", "three", "wide"


def title(module: ReportedModule) -> str:
    return module["name"] or module["hardware_id"] or module["endpoint"]


# ---- what needs attention ------------------------------------------------------------------------


def attention(report: ReportView) -> Html | None:
    """What failed, and what was warned of, before everything else."""
    items = [*_of_modules(report), *_of_slaves(report), *_of_orders(report)]
    if not items:
        return None
    return element("section", element("h2", "What needs attention"), element("ul", *items, class_="attention"))


def _of_modules(report: ReportView) -> Iterator[Html]:
    bad = [module for module in report["modules"] if module["reason"]]
    warned = [module for module in report["modules"] if module["warnings"] and not module["reason"]]
    for module in (*bad, *warned):
        reason = module["reason"]
        lines = [reason["message"]] if reason else []
        yield _item(title(module), badge(module["result"]), [*lines, *module["warnings"]], bad=bool(reason))


def _of_slaves(report: ReportView) -> Iterator[Html]:
    for module in report["modules"]:
        for slave in module["attached"]:
            if not slave["device_id"]:
                lines = [f"The LINK slave of {title(module)} has not been added yet."]
                yield _item(slave["name"], badge("not_verified"), lines, bad=True)


def _of_orders(report: ReportView) -> Iterator[Html]:
    for order in report["by_hand"]:
        if order["state"] in ("refused", "open"):
            lines = [order["message"] or "It is not done yet."]
            yield _item(order["name"], badge(order["state"]), lines, bad=order["state"] == "refused")


def _item(name: str, result: Html, lines: list[str], *, bad: bool) -> Html:
    told = (element("p", element("bdi", line)) for line in lines)
    return element("li", element("b", element("bdi", name)), result, *told, class_="bad" if bad else None)


# ---- all of them ---------------------------------------------------------------------------------


def module_table(modules: list[ReportedModule]) -> Html:
    head = (element("th", title, scope="col", class_=class_) for title, class_ in _COLUMNS)
    rows = (_row(number, module) for number, module in enumerate(modules, start=1))
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return element("div", table, class_="scroll listed")


_COLUMNS = (
    ("No.", "number"),
    ("Name", None),
    ("Hardware id", "id"),
    ("Model", "model"),
    ("Signal", "dbm"),
    ("Result", "result"),
)


def _row(number: int, module: ReportedModule) -> Html:
    signal = module["signal"]
    cells = (
        str(number),
        element("bdi", title(module)),
        code(module["hardware_id"]) or "not known",
        element("bdi", module["model"] or "-"),
        element("span", signal_bars(signal), f"{signal['rssi_dbm']} dBm") if signal else "-",
        badge(module["result"]),
    )
    return element("tr", *(element("td", cell, class_=each) for cell, (_, each) in zip(cells, _COLUMNS, strict=True)))


# ---- each by itself ------------------------------------------------------------------------------


def module_article(number: int, module: ReportedModule, local: Local) -> Html:
    name = element("h3", element("span", str(number)), element("bdi", title(module)))
    head = element("header", name, badge(module["result"]))
    facts = (*_who(module, local), *_evidence(module, local), *_history(module, local))
    return element("article", head, element("dl", *facts), class_="module")


def _who(module: ReportedModule, local: Local) -> Iterator[Html | None]:
    yield fact("Hardware id", code(module["hardware_id"]), class_=_HALF)
    yield fact("Device id", code(module["device_id"]), class_=_HALF)
    yield fact("Model", _model(module), class_=_HALF)
    yield fact("Reached", _where(module), class_=_HALF)
    yield fact("Slug", code(module["slug"]))
    yield fact("Protocol", module["protocol"])
    yield fact("First seen", day_and_time(local, module["seen_at"]))


def _model(module: ReportedModule) -> str | None:
    if module["model"] is None:
        return None
    product = (module["product"] or "").replace("_", " ")
    return f"{module['model']} ({product}), firmware {module['firmware']}"


def _where(module: ReportedModule) -> str:
    at = module["endpoint"]
    return f"on the LAN as {at}" if module["carrier"] == "http" else f"on the serial port {at}"


def _evidence(module: ReportedModule, local: Local) -> Iterator[Html | None]:
    at, signal = module["verified_at"], module["signal"]
    yield fact("Verified", day_and_time(local, at) if at else None)
    strength = f"{signal['rssi_dbm']} dBm, {signal['quality']}" if signal else ""
    yield fact("Signal", element("span", signal_bars(signal), strength) if signal else None)
    yield fact("How", module["how"], class_=_THREE_QUARTERS if signal else _WIDE)
    if module["adopted"]:
        owner = f" by {module['managed_by']}" if module["managed_by"] else ""
        yield fact("Configuration", f"It was there already, made{owner}, and was only verified.", class_=_WIDE)


def _history(module: ReportedModule, local: Local) -> Iterator[Html | None]:
    reason, failures = module["reason"], module["failures"]
    yield fact("Why", reason["message"] if reason else None, class_=f"{_WIDE} failed")
    yield fact("Warnings", _list(module["warnings"]), class_=f"{_WIDE} warned")
    yield fact("What failed on the way", _list([_past(each, local) for each in failures]), class_=_WIDE)
    yield fact("LINK slaves", _slaves(module["attached"]), class_=_WIDE)


def _past(failure: PastFailureView, local: Local) -> str:
    at, times = day_and_time(local, failure["last_at"]), failure["times"]
    often = f"{times} times, last on {at}" if times > 1 else at
    return f"{often}: {failure['message']}"


def _list(lines: list[str]) -> Html | None:
    return element("ul", *(element("li", element("bdi", line)) for line in lines)) if lines else None


def _slaves(slaves: list[AttachedView]) -> Html | None:
    if not slaves:
        return None
    head = element("tr", *(element("th", each, scope="col") for each in ("Name", "Hardware id", "Model", "Device id")))
    rows = (
        element(
            "tr",
            element("td", element("bdi", slave["name"])),
            element("td", code(slave["hardware_id"])),
            element("td", element("bdi", slave["model"])),
            element("td", code(slave["device_id"]) or "not added yet"),
        )
        for slave in slaves
    )
    return element("table", element("thead", head), element("tbody", *rows))
