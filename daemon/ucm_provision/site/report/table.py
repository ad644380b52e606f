"""The commissioning report as CSV (RFC 4180), for spreadsheets and for programs: one row for each thing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from ucm_provision.documents import PastFailureView, ReportedModule, ReportView
from ucm_provision.site.report.times import Local, iso
from ucm_provision.wire import AttachedView, OrderView

# Which of these a row has depends on what it is about; ``record`` says what that is.
COLUMNS = (
    "record", "report_version", "created_at", "since", "site", "site_id", "box", "engineer", "api", "software",
    "result", "name", "hardware_id", "device_id", "slug", "kind", "model", "firmware", "endpoint", "carrier",
    "protocol", "master", "verified_at", "how", "generation", "reported", "reported_at", "ssid", "rssi_dbm", "signal",
    "seen_by", "seen_what", "seen_generation", "seen_at", "adopted", "managed_by", "first_seen_at", "reason_code",
    "reason", "warnings", "failures", "requested_by", "modules", "verified", "verified_with_warning", "not_well",
    "not_verified", "older", "unapproved",
)  # fmt: skip

Cell = str | int | None
Row = Mapping[str, Cell]

# What makes spreadsheets take a text for a formula, also in the wide letters of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 -- those letters are meant


def render_csv(report: ReportView, local: Local) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    about = _about(report, local)
    for row in _rows(report, local):
        writer.writerow({column: _cell(value) for column, value in {**about, **row}.items()})
    return text.getvalue()


def _cell(value: Cell) -> str | int | None:
    """A text that a spreadsheet would run is made one that it shows. Numbers are ours, and stay numbers."""
    if not isinstance(value, str):
        return value
    value = value.replace("\0", "")
    return f"'{value}" if value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA) else value


def _about(report: ReportView, local: Local) -> Row:
    """What stands in every row, so that reports can be put together."""
    return {
        "report_version": report["version"],
        "created_at": iso(local, report["created_at"]),
        "since": iso(local, report["since"]),
        "site": report["site"]["name"],
        "site_id": report["site"]["id"],
        "box": report["box"],
        "engineer": report["engineer"],
        "api": report["api"],
        "software": report["software"],
    }


def _rows(report: ReportView, local: Local) -> Iterator[Row]:
    yield {"record": "report", **cast("Row", report["counts"])}
    for module in report["modules"]:
        yield _module(module, local)
        for slave in module["attached"]:
            yield _slave(slave, module)
    for order in report["by_hand"]:
        yield _order(order, local)


def _module(module: ReportedModule, local: Local) -> Row:
    reason = module["reason"]
    return {
        "record": "module",
        "result": module["result"],
        "name": module["name"],
        "hardware_id": module["hardware_id"],
        "device_id": module["device_id"],
        "slug": module["slug"],
        "kind": module["product"],
        "model": module["model"],
        "firmware": module["firmware"],
        "endpoint": module["endpoint"],
        "carrier": module["carrier"],
        "protocol": module["protocol"],
        "verified_at": iso(local, module["verified_at"]),
        "how": module["how"],
        **_evidence(module, local),
        "adopted": "yes" if module["adopted"] else "no",
        "managed_by": module["managed_by"],
        "first_seen_at": iso(local, module["seen_at"]),
        "reason_code": reason["code"] if reason else None,
        "reason": reason["message"] if reason else None,
        "warnings": _lines(module["warnings"]),
        "failures": _lines(_failure(each, local) for each in module["failures"]),
    }


def _evidence(module: ReportedModule, local: Local) -> Row:
    evidence, signal = module["evidence"], module["signal"]
    if evidence is None:
        return {}
    return {
        "generation": evidence["generation"],
        "reported": evidence["reported_phase"],
        "reported_at": iso(local, evidence["reported_at"]),
        "ssid": evidence["ssid"],
        "rssi_dbm": signal["rssi_dbm"] if signal else None,
        "signal": signal["quality"] if signal else None,
        "seen_by": evidence["seen_by"],
        "seen_what": evidence["seen_what"],
        "seen_generation": evidence["seen_generation"],
        "seen_at": iso(local, evidence["seen_at"]),
    }


def _slave(slave: AttachedView, master: ReportedModule) -> Row:
    return {
        "record": "link_slave",
        "result": master["result"] if slave["device_id"] else "not_verified",
        "name": slave["name"],
        "hardware_id": slave["hardware_id"],
        "device_id": slave["device_id"],
        "model": slave["model"],
        "master": master["hardware_id"],
    }


def _order(order: OrderView, local: Local) -> Row:
    return {
        "record": "by_hand",
        "result": order["state"],
        "name": order["name"],
        "hardware_id": order["hardware_id"],
        "device_id": order["device_id"],
        "slug": order["slug"],
        "kind": order["kind"],
        "verified_at": iso(local, order["updated_at"]) if order["state"] == "done" else None,
        "first_seen_at": iso(local, order["placed_at"]),
        "reason_code": order["code"],
        "reason": order["message"],
        "requested_by": order["by"],
    }


def _failure(failure: PastFailureView, local: Local) -> str:
    return f"{failure['code']}, {failure['times']}x, last {iso(local, failure['last_at'])}: {failure['message']}"


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(texts)
