"""The one table of failures is whole, and every row leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ucm_provision.core.errors import FAILURES, Code, Disposition, Exit, UcmError, anchor, explain

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"
EXITS = {value for name, value in vars(Exit).items() if not name.startswith("_")}


def headings() -> set[str]:
    titles = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_code_has_its_row_and_no_row_is_left_over() -> None:
    assert set(FAILURES) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_a_row_says_what_follows_and_where_to_read_on(code: Code) -> None:
    failure = FAILURES[code]
    assert 400 <= failure.http_status <= 599
    assert failure.exit_status in EXITS
    assert failure.sentence.endswith(".")
    assert (failure.exit_status == Exit.CONFIG) <= (failure.disposition is Disposition.FATAL)
    path, _, place = anchor(code).partition("#")
    assert path == "docs/OPERATIONS.md"
    assert place in headings()


def test_only_failures_that_heal_by_themselves_count_tries() -> None:
    assert all(failure.disposition is Disposition.RETRY for failure in FAILURES.values() if failure.tries)


def test_a_person_reads_name_sentence_detail_and_place() -> None:
    text = str(UcmError(Code.MQTT_NOT_AUTHORIZED, "return code 5"))
    assert text.startswith("MQTT_NOT_AUTHORIZED: The broker refused the new credentials.")
    assert text.endswith("(return code 5) docs/OPERATIONS.md#mqtt-not-authorized")
    assert explain(Code.NOT_SEEN).endswith("docs/OPERATIONS.md#not-seen")
