"""Where a key stands, whatever way it is written."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.host.toml_lines import KeyPath, line_of, parse_path

TEXT = """\
# a comment, not a = key
top = 1

[site]   # with a remark
id = "x"
"manifest" = "y"

[[wifi]]
ssid = "a"

[ override . "time_sync" ]
port = 1

[[wifi]]
ssid = "b"
  hidden = true
[usb]
globs = [
  "a",
]
"""


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (("top",), 2),
        (("site",), 4),
        (("site", "id"), 5),
        (("site", "manifest"), 6),
        (("site", "nothing"), 4),
        (("wifi",), 8),
        (("wifi", 0), 8),
        (("wifi", 0, "ssid"), 9),
        (("wifi", 1), 14),
        (("wifi", 1, "hidden"), 16),
        (("wifi", 1, "passphrase_file"), 14),
        (("override", "time_sync", "port"), 12),
        (("usb", "globs", 0), 18),
        (("nothing", "at", "all"), 1),
        ((), 1),
    ],
)
def test_the_line_of_a_key_or_of_what_is_around_it(wanted: KeyPath, line: int) -> None:
    assert line_of(TEXT, wanted) == line


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", ()),
        ("", ()),
        ("$.wifi[1].ssid", ("wifi", 1, "ssid")),
        ("$.wifi[...]", ("wifi",)),
        ("$.override.time_sync", ("override", "time_sync")),
    ],
)
def test_the_path_of_a_key(text: str, path: KeyPath) -> None:
    assert parse_path(text) == path


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
TABLES = st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(0, 9), max_size=4), max_size=4)


@given(TABLES, st.lists(st.sampled_from(["", "# x = 1", "   "]), min_size=1))
def test_every_key_of_every_table_is_found_where_it_stands(
    tables: dict[str, dict[str, int]], fillers: list[str]
) -> None:
    lines: list[str] = []
    expected: dict[KeyPath, int] = {}
    for table, keys in tables.items():
        lines += [*fillers, f"[{table}]"]
        expected[table,] = len(lines)
        for key, value in keys.items():
            lines.append(f"{key} = {value}")
            expected[table, key] = len(lines)
    text = "\n".join(lines)
    assert tomllib.loads(text) == tables
    assert {path: line_of(text, path) for path in expected} == expected
