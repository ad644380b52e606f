"""The parts that need no server: identifiers, times, presence, options, rights."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_site_api.access import Identity
from ucm_site_api.errors import ConfigurationError
from ucm_site_api.identifiers import normalize_hardware_id, slug_candidates, slug_from
from ucm_site_api.parsing import parse_address, parse_duration, parse_time_source
from ucm_site_api.presence import Presence
from ucm_site_api.random_secrets import digest_of, matches, new_secret
from ucm_site_api.settings import TimeSource
from ucm_site_api.timestamps import from_text, to_text

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@given(st.text())
def test_slug_is_fit_for_a_url_whatever_the_name(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug_from(name))
    assert len(slug_from(name)) <= 63


@given(st.text())
def test_slug_candidates_differ_and_begin_with_the_plain_one(name: str) -> None:
    candidates = list(islice(slug_candidates(name), 60))
    assert candidates[0] == slug_from(name)
    assert len(set(candidates)) == 60
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 63 for slug in candidates)


@given(st.from_regex(r"[0-9A-Za-z]{32,33}", fullmatch=True))
def test_hardware_ids_are_upper_case(text: str) -> None:
    assert normalize_hardware_id(text) == text.upper()
    assert normalize_hardware_id(normalize_hardware_id(text)) == text.upper()


@pytest.mark.parametrize(
    "text",
    ["", "A" * 31, "A" * 34, "A" * 31 + "-", "A" * 32 + "\n", "\u0131" * 32, "\u00df" * 16, "\u0661" * 32],
)
def test_other_hardware_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 or 33"):
        normalize_hardware_id(text)


@given(st.datetimes(min_value=datetime(1970, 1, 1)), st.datetimes(min_value=datetime(1970, 1, 1)))  # noqa: DTZ001
def test_order_of_texts_is_order_of_times(one: datetime, other: datetime) -> None:
    first, second = one.replace(tzinfo=UTC), other.replace(tzinfo=UTC)
    assert from_text(to_text(first)) == first
    assert (to_text(first) < to_text(second)) == (first < second)


def test_times_read_as_the_platform_writes_them() -> None:
    assert to_text(datetime(2025, 8, 4, 7, 22, 7, 988115, UTC)) == "2025-08-04T07:22:07.988115Z"


@given(st.text(alphabet="v1/fromtoAB+#", max_size=30))
def test_module_never_hears_or_says_beyond_its_own_id(topic: str) -> None:
    module = Identity("A" * 32, 1, f"v1/from/{'A' * 32}/", f"v1/to/{'A' * 32}/")
    assert not module.may_publish(topic)
    assert not module.may_hear(topic)


@given(st.binary())
def test_any_payload_may_come_as_properties(payload: bytes) -> None:
    presence = Presence(lambda: NOW, timedelta(seconds=60))
    presence.observe("v1/from/A/ucm/v1/register", payload)
    assert presence.connectivity("A") == "ONLINE"
    assert isinstance(presence.properties("A", "ucm"), dict)


def test_properties_are_the_last_and_of_their_channel() -> None:
    presence = Presence(lambda: NOW, timedelta(seconds=60))
    presence.observe("v1/from/A/ucm/v1/register", b'{"timestamp":1,"a":1}')
    presence.observe("v1/from/A/other/v1/register", b'{"b":1}')
    presence.observe("v1/from/A/ucm/v1/telemetry", b'{"c":1}')
    for useless in (b"[]", b"", b'{"big":"' + b"x" * 40000 + b'"}', b'{"x":' + b"[" * 20000):
        presence.observe("v1/from/A/ucm/v1/properties", useless)
    assert presence.properties("A", "ucm") == {"a": 1}
    presence.observe("v1/from/A/ucm/v1/properties", b'{"d":1}')
    assert presence.properties("A", "ucm") == {"d": 1}


def test_connectivity_has_three_values() -> None:
    moments = iter([NOW, NOW + timedelta(seconds=60), NOW + timedelta(seconds=60.1)])
    presence = Presence(lambda: next(moments), timedelta(seconds=60))
    assert presence.connectivity("A") == "UNKNOWN"
    presence.observe("v1/from/A", b"")
    assert presence.connectivity("A") == "ONLINE"
    assert presence.connectivity("A") == "OFFLINE"


def test_secrets_match_their_own_digest_only() -> None:
    one, other = new_secret(), new_secret()
    assert re.fullmatch("[0-9a-f]{64}", one)
    assert matches(one, digest_of(one))
    assert not matches(other, digest_of(one))


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8883", ("::1", 8883)), ("plant.local:65535", ("plant.local", 65535))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "x", ":1", "x:", "x:-1", "x:65536", "x:\u0661", "x: 1"])
def test_other_texts_are_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_address(text)


def test_durations() -> None:
    assert [parse_duration(text) for text in ("90s", "30m", "24h", "365d")] == [
        timedelta(seconds=90),
        timedelta(minutes=30),
        timedelta(hours=24),
        timedelta(days=365),
    ]
    for text in ("", "24", "h", "-1h", "1w", "1.5h"):
        with pytest.raises(ConfigurationError):
            parse_duration(text)


def test_time_sources() -> None:
    assert parse_time_source("http://10.0.0.1") == TimeSource("HTTP", "10.0.0.1", 80)
    assert parse_time_source("ntp://gateway.local:1123") == TimeSource("NTP", "gateway.local", 1123)
    for text in ("", "10.0.0.1", "https://x", "http://", "http://x/path", "http://x:y", "http://x:99999"):
        with pytest.raises(ConfigurationError):
            parse_time_source(text)
