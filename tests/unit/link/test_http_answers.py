"""Answers in any pieces, and bytes that are none."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports.http_answers import Answer, AnswerReader

BODIES = st.binary(max_size=200)
SESSIONS = st.none() | st.integers(0, 2**32 - 1).map(str)


def written(body: bytes, session: str | None) -> bytes:
    cookie = f"Set-Cookie: session={session}\r\n" if session else ""
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n{cookie}\r\n".encode() + body


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def read(*data: bytes) -> Answer | Code | None:
    """What the reader makes of it in the end: an answer, nothing yet, or the failure."""
    reader = AnswerReader()
    try:
        return [reader.feed(piece) for piece in data][-1]
    except UcmError as error:
        return error.code


@given(BODIES, SESSIONS, st.lists(st.integers(0, 1000), max_size=8))
def test_an_answer_in_any_pieces(body: bytes, session: str | None, cuts: list[int]) -> None:
    reader = AnswerReader()
    *early, last = [reader.feed(piece) for piece in pieces(written(body, session), cuts)]
    assert last == Answer(body, session, last=False)
    assert not any(early)


PIECES = st.binary(min_size=1, max_size=300) | st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200", b"Content-Length: ", b"Set-Cookie: session=", b"7", b": ", b"x" * 900]
)


@given(st.lists(PIECES, max_size=20).map(lambda rest: [b"HTTP/1.1 200 OK\r\n", *rest]))
@example([b"H", b"x"])
@example([b"HTTP/1.1 200 \r\n\xff: \xff\r\n\r\n"])
def test_hostile_bytes_are_an_answer_or_garbage(data: list[bytes]) -> None:
    result = read(*data)
    assert result in (None, Code.LINK_GARBAGE) or isinstance(result, Answer)


@given(st.text(st.characters(codec="latin-1")))
def test_a_cookie_is_ten_digits_or_garbage(value: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nSet-Cookie: session={value}\r\n\r\nx".encode("latin-1")
    match read(answer):
        case Answer(session=str(session)):
            assert session.isascii()
            assert session.isdigit()
            assert len(session) <= 10
        case result:
            assert result is Code.LINK_GARBAGE


@pytest.mark.parametrize("attributes", ["", "; Path=/", ";HttpOnly"])
def test_the_attributes_of_a_cookie_are_not_part_of_it(attributes: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nSET-COOKIE:session=42{attributes}\r\n\r\nx".encode()
    assert AnswerReader().feed(answer) == Answer(b"x", "42", last=False)


def test_the_largest_answer() -> None:
    body = bytes(policy.HTTP_ANSWER_LARGEST)
    assert AnswerReader().feed(written(body, None)) == Answer(body, None, last=False)


def test_a_header_is_bounded_before_it_ends() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nX: ")
    with pytest.raises(UcmError, match="LINK_GARBAGE"):
        list(map(reader.feed, [b"x"] * policy.HTTP_HEAD_LARGEST))
