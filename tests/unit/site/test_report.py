"""What stands in the commissioning report, and that each of its three forms says the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.site.sample_report import (
    ELECTROLYSER,
    ENGINEER,
    LINK_MASTER,
    NOW,
    SLAVE,
    START,
    facts,
    local,
    module,
    online,
    order,
    sessions,
)
from tests.unit.store.strategies import SESSIONS, WORDS
from ucm_provision.core.errors import Code
from ucm_provision.core.events import Failed
from ucm_provision.core.history import PastFailure
from ucm_provision.documents import ReportedModule, ReportView
from ucm_provision.engine.views import module_view
from ucm_provision.site.report import Asked, Facts, Format, compose, render
from ucm_provision.wire import ActivityView, ModuleView

REPORT = compose(Asked(ENGINEER), facts())


def named(name: str) -> ReportedModule:
    return next(each for each in REPORT["modules"] if each["name"] == name)


def printed(kind: Format, report: ReportView = REPORT) -> str:
    return render(report, kind, local).decode("utf-8-sig")


# ---- the content -----------------------------------------------------------------------------------


def test_the_report_says_where_when_and_by_whom() -> None:
    assert {key: REPORT[key] for key in REPORT if key not in ("modules", "by_hand", "counts")} == {  # type: ignore[literal-required]
        "version": 1,
        "created_at": NOW,
        "since": None,
        "site": {"name": "Hydrogen plant", "id": "site-1"},
        "box": "box-a",
        "engineer": ENGINEER,
        "api": "https://api.test",
        "software": "ucm-provisiond 0.1.0",
    }


def test_every_module_is_counted_once() -> None:
    assert REPORT["counts"] == {
        "modules": 9,
        "verified": 3,
        "verified_with_warning": 2,
        "not_well": 1,
        "not_verified": 3,
        "older": 0,
        "unapproved": 3,
    }


def test_modules_stand_in_the_order_in_which_a_person_looks_for_them() -> None:
    names = [each["name"] for each in REPORT["modules"]]
    assert names == [
        None,  # a port, "/dev/…"
        "Bench",
        "Electrolyser 2",
        "Electrolyser 10",
        "Gas sensors",
        "Master",
        "Old",
        "Pump",
        "Water tank",
    ]


def test_a_verified_module_with_both_testimonies() -> None:
    found = named("Electrolyser 10")
    assert (found["result"], found["hardware_id"], found["device_id"]) == ("verified", ELECTROLYSER, "device-0")
    assert (found["verified_at"], found["reason"], found["warnings"]) == (START + 11.0, None, [])
    assert found["signal"] == {"rssi_dbm": -58, "quality": "strong"}
    assert found["how"] == (
        'The module reported ONLINE on "plant-wifi" with configuration 1, and the witness at the broker saw a message '
        "on v1/from/it/ucm/v1/register."
    )
    assert (named("Electrolyser 2")["how"] or "").endswith("the provisioning API saw generation 1 registered.")


def test_a_weak_signal_is_verified_with_a_warning() -> None:
    found = named("Gas sensors")
    assert found["result"] == "verified_with_warning"
    assert found["signal"] == {"rssi_dbm": -79, "quality": "weak"}
    assert found["warnings"] == ["Its Wi-Fi signal is weak (-79 dBm): move it, or an access point, closer."]


@pytest.mark.parametrize(
    ("rssi", "quality", "result"),
    [
        (-60, "strong", "verified"),
        (-61, "good", "verified"),
        (-67, "good", "verified"),
        (-68, "fair", "verified"),
        (-75, "fair", "verified"),
        (-76, "weak", "verified_with_warning"),
    ],
)
def test_what_a_signal_is_worth(rssi: int, quality: str, result: str) -> None:
    (found,) = compose(Asked(), facts(module(0, "It", online(rssi))))["modules"]
    assert (found["signal"], found["result"]) == ({"rssi_dbm": rssi, "quality": quality}, result)


def test_what_failed_is_told_without_the_manual_s_references() -> None:
    found = named("Pump")
    assert (found["result"], found["verified_at"], found["how"]) == ("not_verified", None, None)
    assert found["reason"] == {
        "code": "broker_tls_untrusted",
        "message": "The broker's certificate does not match the CA chain that the API gave. "
        "The module was not touched. Check that mqtt_host and mqtt_port are the broker of this API. (self-signed)",
    }
    (silent,) = (each for each in REPORT["modules"] if each["name"] is None)
    assert (silent["endpoint"], silent["hardware_id"]) == ("/dev/ttyUSB4", None)
    assert (silent["reason"] or {})["code"] == "link_silent"


def test_a_module_that_is_no_longer_well_keeps_its_evidence() -> None:
    found = named("Water tank")
    assert (found["result"], (found["reason"] or {})["code"]) == ("not_well", "not_online")
    assert found["evidence"] is not None


def test_what_is_unfinished_says_so() -> None:
    assert named("Bench")["reason"] == {
        "code": None,
        "message": "Configured on a bench; it is verified when it is seen at its place.",
    }
    begun = module_view(module(0, "It"), where=None, activity=ActivityView(step="push", detail="40 %"))
    (found,) = compose(Asked(), replace(facts(), modules=[begun]))["modules"]
    assert found["reason"] == {"code": None, "message": "It is being worked on: push 40 %."}


def test_a_link_master_is_believed_by_the_api_s_record_and_lists_its_slaves() -> None:
    found = named("Master")
    assert (found["how"], found["signal"]) == ("The provisioning API has the device's record.", None)
    assert [(slave["hardware_id"], slave["device_id"]) for slave in found["attached"]] == [
        (SLAVE, "device-8"),
        ("F" * 32, None),
    ]


def test_an_adopted_module_says_whose_configuration_it_holds() -> None:
    found = named("Old")
    assert (found["adopted"], found["managed_by"]) == (True, "box-b")
    assert (found["result"], found["warnings"]) == ("verified_with_warning", ["Its clock is wrong."])


def test_what_failed_on_the_way_is_told_once_and_without_unplugged_cables() -> None:
    (failure,) = named("Electrolyser 2")["failures"]
    assert (failure["code"], failure["times"], failure["last_at"]) == ("broker_timeout", 3, START + 60.0)
    assert failure["message"].endswith("(192.0.2.10)")


def test_devices_without_a_cable_and_refusals_are_listed() -> None:
    done, refused = REPORT["by_hand"]
    assert (done["name"], done["by"], done["state"]) == ("Virtual meter", "anna", "done")
    assert (refused["code"], (refused["message"] or "")[-9:]) == ("slug_taken", "(weather)")


def test_since_leaves_out_what_has_not_changed() -> None:
    report = compose(Asked(since=START + 3600.0 * 5), facts())
    assert {each["name"] for each in report["modules"]} == {"Old", "Master"}
    assert (report["counts"]["older"], report["by_hand"], report["since"]) == (7, [], START + 3600.0 * 5)


# ---- JSON ------------------------------------------------------------------------------------------


def test_json_is_the_report_as_it_is() -> None:
    assert json.loads(printed("json")) == REPORT
    assert msgspec.json.decode(printed("json"), type=ReportView) == REPORT


# ---- CSV -------------------------------------------------------------------------------------------


def rows(report: ReportView = REPORT) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(printed("csv", report), newline=""), strict=True))


def test_csv_has_a_row_for_each_thing_and_the_site_in_all_of_them() -> None:
    found = rows()
    assert [row["record"] for row in found].count("module") == 9
    assert [row["name"] for row in found if row["record"] == "link_slave"] == ["Outputs", "Inputs"]
    assert [row["name"] for row in found if row["record"] == "by_hand"] == ["Virtual meter", "Weather"]
    about = ("Hydrogen plant", "site-1", "box-a", ENGINEER, "2026-07-14T20:00:00+02:00")
    assert {(row["site"], row["site_id"], row["box"], row["engineer"], row["created_at"]) for row in found} == {about}
    assert (found[0]["record"], found[0]["modules"], found[0]["not_verified"]) == ("report", "9", "3")


def test_csv_has_the_evidence_in_columns() -> None:
    (row,) = (each for each in rows() if each["name"] == "Gas sensors")
    shown = ("rssi_dbm", "signal", "generation", "reported", "seen_by", "verified_at", "result")
    assert [row[column] for column in shown] == [
        "-79",
        "weak",
        "1",
        "ONLINE",
        "witness",
        "2026-07-14T10:00:11+02:00",
        "verified_with_warning",
    ]


def test_csv_is_that_of_rfc_4180_and_says_that_it_is_utf_8() -> None:
    raw = render(REPORT, "csv", local)
    assert raw.startswith(b"\xef\xbb\xbfrecord,")
    lines = re.sub(r'"(?:[^"]|"")*"', "", raw.decode())
    assert lines.count("\r\n") == lines.count("\n") == len(rows()) + 1


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "=cmd|' /C calc'!A0"]  # noqa: RUF001


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_is_no_formula_in_a_spreadsheet(name: str) -> None:
    report = compose(Asked(name), facts(module(0, name, online(-50))))
    (row,) = (each for each in rows(report) if each["record"] == "module")
    assert (row["name"], row["engineer"]) == (f"'{name}", f"'{name}")
    assert row["rssi_dbm"] == "-50"


# ---- HTML ------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], "everything that was opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def strings(value: Any) -> Iterator[str]:
    """Every text in the report."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


def test_html_says_what_the_report_says() -> None:
    text = Page(printed("html")).text
    for each in REPORT["modules"]:
        for key in ("name", "hardware_id", "device_id", "slug", "how"):
            assert str(each[key] or "") in text  # type: ignore[literal-required]
        for told in (*each["warnings"], *(failure["message"] for failure in each["failures"])):
            assert told in text
        assert (each["reason"] or {"message": ""})["message"] in text
    for words in (
        "Hydrogen plant",
        ENGINEER,
        "box-a",
        "5 of 9 modules are verified.",
        "2026-07-14 20:00 (CEST, UTC+02:00)",
    ):
        assert words in text
    assert "3 times, last on 2026-07-14 10:01" in text


@pytest.mark.parametrize(
    ("chosen", "verdict"),
    [
        ([], "No module was commissioned."),
        ([module(0, "A", online(-50))], "The module is verified."),
        ([module(0, "A", online(-50)), module(1, "B", online(-80))], "All 2 modules are verified."),
        ([module(0, "A", online(-50)), module(1, "B", Failed(Code.LINK_SILENT))], "1 of 2 modules is verified."),
    ],
)
def test_the_verdict_in_a_sentence(chosen: list[Any], verdict: str) -> None:
    views = [module_view(each, where=None, activity=None) for each in chosen]
    assert verdict in Page(printed("html", compose(Asked(), replace(facts(), modules=views)))).text


def test_html_asks_for_nothing_from_elsewhere() -> None:
    page = Page(printed("html"))
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"} & {
        tag for tag, _ in page.tags
    }
    (policy,) = (
        attributes["content"]
        for _, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[0-9A-Za-z+/]{43}='; base-uri 'none'; form-action 'none'", policy or ""
    )
    style = re.findall(r"<style>(.*?)</style>", printed("html"), re.DOTALL)
    assert len(style) == 1
    assert not re.search(r"url\(|@import|</", style[0])


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title>",
    "<!--",
    "]]>",
    "&lt;b&gt;&amp;",
    "' onmouseover='alert(1)",
    "\u202egnirts\u202c",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_markup(name: str) -> None:
    plain, hostile = (
        replace(facts(module(0, each, online(-50))), site={"name": each, "id": "s"}, orders=[order(name=each, by=each)])
        for each in ("plain", name)
    )
    page = Page(printed("html", compose(Asked(name), hostile)))
    assert [tag for tag, _ in page.tags] == [
        tag for tag, _ in Page(printed("html", compose(Asked("plain"), plain))).tags
    ]
    assert name in "".join(page.words)


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "div", "p", "span"),
    *("h1", "h2", "h3", "b", "bdi", "code", "ul", "li", "dl", "dt", "dd", "svg", "path"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "role", "scope", "aria-label", "aria-hidden"),
    *("viewbox", "d", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin", "transform"),
}
FACTS = st.builds(
    lambda sessions, site, words: Facts(
        NOW,
        {"name": site, "id": site},
        facts().status,
        [module_view(each, where=each.endpoint, activity=None) for each in sessions],
        0,
        {each.id: [PastFailure(Code.API_FAILED, words, 2, START, NOW)] for each in sessions},
        [order(name=words, by=words)],
    ),
    st.lists(SESSIONS, max_size=3),
    WORDS,
    WORDS,
)


@settings(max_examples=60, deadline=None)
@given(facts=FACTS, engineer=WORDS)
def test_whatever_the_daemon_knows_can_be_printed_in_every_form(facts: Facts, engineer: str) -> None:
    report = compose(Asked(engineer), facts)
    page = Page(printed("html", report))
    assert {tag for tag, _ in page.tags} <= TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= ATTRIBUTES
    assert msgspec.json.decode(printed("json", report), type=ReportView) == report
    found = rows(report)
    assert len(found) == 1 + len(report["modules"]) + sum(len(each["attached"]) for each in report["modules"]) + 1
    for row in found:
        assert None not in row, "as many cells as columns"
        numbers = ("rssi_dbm", "generation", "seen_generation")
        assert not any(cell.startswith(("=", "+", "-", "@")) for name, cell in row.items() if name not in numbers)


# ---- labels ----------------------------------------------------------------------------------------


def labelled(page: str) -> list[str]:
    """What a scanner reads from the codes on the page."""
    return [read_code(*found) for found in re.findall(r'viewBox="0 0 (\d+) \d+"><path [^>]*\bd="(M[^"]+)"', page)]


def read_code(size: str, path: str) -> str:
    """Draws the code's rows with pixels, and lets a scanner look at them."""
    wide, scale = int(size), 3
    dark = {position for start, row in strokes(path) for position in ((x, row) for x in start)}
    pixels = bytes(
        0 if (x // scale, y // scale) in dark else 255 for y in range(wide * scale) for x in range(wide * scale)
    )
    (found,) = zxingcpp.read_barcodes(memoryview(pixels).cast("B", (wide * scale, wide * scale)))
    text: str = found.text
    return text


def strokes(path: str) -> Iterator[tuple[range, int]]:
    """The horizontal strokes of an SVG path of M, m and h alone: columns and row of each."""
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([-0-9. ]+)", path):
        values = [float(number) for number in re.findall(r"-?\d*\.?\d+", numbers)]
        if command == "h":
            yield range(int(x), int(x + values[0])), int(y)
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])


def test_a_phone_reads_from_each_label_who_the_module_is() -> None:
    report = compose(Asked(), replace(facts(), orders=[order(), order(kind="embedded", name="Dryer")]))
    assert labelled(printed("html", report)) == [
        "Electrolyser 2\n00000000000000000000000000000001\ndevice-1",
        f"Electrolyser 10\n{ELECTROLYSER}\ndevice-0",
        "Gas sensors\n00000000000000000000000000000002\ndevice-2",
        f"Master\n{LINK_MASTER}\ndevice-7",
        f"Outputs\n{SLAVE}\ndevice-8",
        "Old\n00000000000000000000000000000008\ndevice-8",
        "Water tank\n00000000000000000000000000000005\ndevice-5",
        "Dryer\nV00000000000000000000000000000000\ndevice-20",
    ]


@pytest.mark.parametrize("name", ["Kühlkreis №2", "水素タンク", "x" * 1024, "two\nlines"])
def test_a_label_s_code_is_readable_whatever_the_name(name: str) -> None:
    (text,) = labelled(printed("html", replace_orders(compose(Asked(), facts(module(0, name, online(-50)))))))
    read = text.split("\n")
    assert read[1:] == ["0" * 32, "device-0"]
    assert read[0] == (f"{'x' * 47}…" if len(name) > 48 else name.replace("\n", " "))


def replace_orders(report: ReportView) -> ReportView:
    return ReportView({**report, "by_hand": []})


def test_labels_come_by_the_sheet() -> None:
    many = [module(number, f"Module {number}", online(-50)) for number in range(25)]
    page = Page(printed("html", replace_orders(compose(Asked(), facts(*many)))))
    classes = [attributes.get("class") for _, attributes in page.tags]
    assert (classes.count("sheet"), classes.count("label")) == (2, 25)


def test_sample_views_are_those_of_the_public_interface() -> None:
    """The sample is made by the daemon's own code; this keeps it so."""
    for each in sessions():
        view = module_view(each, where=None, activity=None)
        assert msgspec.convert(view, ModuleView) == view
    assert set(strings(REPORT)) >= {"Hydrogen plant", ENGINEER}
