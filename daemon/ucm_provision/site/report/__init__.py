"""The commissioning report: what stands in it, and how it is printed. Views in, text out."""

from __future__ import annotations

from typing import Literal

import msgspec

from ucm_provision.documents import ReportView
from ucm_provision.site.report.content import Asked, Facts, compose
from ucm_provision.site.report.times import Local, box_time

Format = Literal["html", "csv", "json"]

__all__ = ["Asked", "Facts", "Format", "Local", "box_time", "compose", "content_security_policy", "render"]

# Spreadsheets take a file for UTF-8 only if it says so.
_BYTE_ORDER_MARK = "\ufeff"

# What prints is imported by whoever prints: a daemon starts without it, and most never need it.


def render(report: ReportView, kind: Format, local: Local = box_time) -> bytes:
    """The report as a file's content: UTF-8, without a secret. Takes some milliseconds of CPU for each module."""
    match kind:
        case "html":
            from ucm_provision.site.report.page import render_html  # noqa: PLC0415

            return render_html(report, local).encode()
        case "csv":
            from ucm_provision.site.report.table import render_csv  # noqa: PLC0415

            return (_BYTE_ORDER_MARK + render_csv(report, local)).encode("utf-8", "replace")
        case "json":
            return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def content_security_policy() -> str:
    """What a browser may do with the report as HTML."""
    from ucm_provision.site.report.page import content_security_policy as policy  # noqa: PLC0415

    return policy()
