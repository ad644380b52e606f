"""What a module says before the handshake: bounded hints that can only make the daemon more careful."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.link.scripted import HARDWARE_ID, proto_ver
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.link.announcement import Announcement, read_announcement


def code_of(body: bytes) -> Code:
    with pytest.raises(UcmError) as caught:
        read_announcement(body)
    return caught.value.code


def test_all_of_it() -> None:
    expected = Announcement(HARDWARE_ID, 2304, frozenset({"config", "trial", "identify"}))
    assert read_announcement(proto_ver()) == expected


@pytest.mark.parametrize(
    ("announced", "used"), [(2047, 2304), (2048, 2048), (4096, 4096), (4097, 2304), (0, 2304), (-1, 2304), (None, 2304)]
)
def test_max_frame(announced: int | None, used: int) -> None:
    assert read_announcement(proto_ver(max_frame=announced)).max_frame == used


@pytest.mark.parametrize("hint", ["", None, "../../etc", "X" * 34, "C8795CBA5375484E829105E959663C8\u2028"])
def test_an_id_that_is_none_is_no_hint(hint: str | None) -> None:
    assert read_announcement(proto_ver(id=hint)).hardware_id is None


def test_an_id_in_lower_case_is_the_same_id() -> None:
    assert read_announcement(proto_ver(id=HARDWARE_ID.lower())).hardware_id == HARDWARE_ID


@pytest.mark.parametrize(
    "security",
    [{"sec_ver": 0}, {"sec_ver": 1}, {"sec_ver": 3}, {"sec_patch_ver": 0}, {"sec_ver": 1, "sec_patch_ver": 9}],
)
def test_older_security_is_refused(security: dict) -> None:
    assert code_of(proto_ver(**security)) is Code.LINK_INSECURE


def test_security_that_is_not_named_is_refused() -> None:
    answer = json.loads(proto_ver())
    del answer["prov"]["sec_patch_ver"]
    assert code_of(json.dumps(answer).encode()) is Code.LINK_INSECURE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 2000,
        b'{"prov":{"ver":"netprov-v1.2","sec_ver":2,"sec_patch_ver":1,"cap":[]}}',
        proto_ver(ver="2.0"),
        proto_ver(max_frame="many"),
        proto_ver(cap="config"),
    ],
)
def test_what_is_no_answer_of_the_device_link(body: bytes) -> None:
    assert code_of(body) is Code.LINK_GARBAGE


def test_unknown_fields_are_left_alone() -> None:
    answer = json.loads(proto_ver()) | {"more": [1, 2, {"deep": None}]}
    assert read_announcement(json.dumps(answer).encode()).hardware_id == HARDWARE_ID


@given(st.binary(max_size=300))
def test_no_answer_surprises(body: bytes) -> None:
    with pytest.raises(UcmError):
        read_announcement(body)
