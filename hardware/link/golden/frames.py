"""COBS blocks and frames: what is sent, what must be accepted, what must be ignored."""

import hashlib
import json
import struct
import zlib

from golden import Case
from golden.reference import Frame, cobs, delimited
from golden.sample_credentials import HARDWARE_ID

SESSION = 0x1A2B3C4D
MAX_FRAME = 2304
REQUEST, RESPONSE = 1, 2
LOG_LINE = b"I (48213) wifi:state: assoc -> run (10)\r\n"
BOOT_LOG = (
    b"ESP-ROM:esp32c3-api1-20210207\r\nrst:0x1 (POWERON),boot:0xd (SPI_FAST_FLASH_BOOT)\r\n"
    b"\x1b[0;32mI (312) ucm: ready\x1b[0m\r\n"
)
PROTO_VER = json.dumps(
    {
        "ucm": {
            "ver": "1.0",
            "cap": ["config", "trial", "scan", "identify"],
            "max_frame": MAX_FRAME,
            "id": HARDWARE_ID,
        },
        "prov": {"ver": "netprov-v1.2", "sec_ver": 2, "sec_patch_ver": 1, "cap": []},
    },
    separators=(",", ":"),
).encode()


def cobs_cases() -> list[Case]:
    """Blocks around the lengths where an encoder takes another branch."""
    plain = bytes(range(1, 255))
    return [
        _cobs("nothing at all", b""),
        _cobs("one zero", b"\0"),
        _cobs("only zeros", bytes(5)),
        _cobs("a zero at each end", b"\0\x11\x22\0"),
        _cobs("253 bytes without a zero: the last length below a full block", plain[:253]),
        _cobs(
            "254 bytes without a zero: one full block, and the closing code 01 may be left out",
            plain,
            also=[b"\xff" + plain + b"\x01"],
        ),
        _cobs("255 bytes without a zero: a full block and one byte", plain + b"\xff"),
        _cobs("a full block, then a zero", plain + b"\0"),
        _cobs("508 bytes of 0xff: two full blocks", b"\xff" * 508, also=[(b"\xff" * 255) * 2 + b"\x01"]),
    ]


def _cobs(why: str, data: bytes, also: list[bytes] | None = None) -> Case:
    return {
        "why": why,
        "decoded": data.hex(),
        "encoded": cobs(data).hex(),
        "also_decodes_from": [form.hex() for form in also or []],
    }


def valid_frames() -> list[Case]:
    """Frames that a receiver must accept, and a sender must produce byte by byte."""
    full = MAX_FRAME - 14 - len("ucm-config")
    return [
        _frame("proto-ver", "the first request of a session", Frame(REQUEST, 0, SESSION, b"proto-ver", b"-")),
        _frame("proto-ver-answer", "plain JSON, no endpoint", Frame(RESPONSE, 0, SESSION, body=PROTO_VER)),
        _frame("zeros", "COBS stuffs every byte", Frame(REQUEST, 7, SESSION, b"ucm-info", bytes(64))),
        _frame("ones", "0xff looks like a full block's code", Frame(RESPONSE, 8, SESSION, body=b"\xff" * 600)),
        _frame("session-zeros", "zero bytes in the header", Frame(REQUEST, 0, 1, b"ucm-link", b"\x01")),
        _frame("session-highest", "the largest session id", Frame(REQUEST, 3, 0x7FFFFFFE, b"ucm-link", b"\x01")),
        _frame("seq-last", "255, and the next is 0", Frame(REQUEST, 255, SESSION, b"ucm-link", b"\x01")),
        _frame("seq-wrapped", "0 again, in the same session", Frame(REQUEST, 0, SESSION, b"ucm-link", b"\x02")),
        _frame("not-found", "an unknown endpoint: 0x105", Frame(RESPONSE, 4, SESSION, status=0x105)),
        _frame("failed", "ESP_FAIL is -1, its low 16 bits 0xffff", Frame(RESPONSE, 5, SESSION, status=0xFFFF)),
        _frame("long-runs", "over 254 bytes without a zero", Frame(REQUEST, 9, SESSION, b"ucm-config", _noise(700))),
        _frame("largest", f"exactly {MAX_FRAME} bytes", Frame(REQUEST, 10, SESSION, b"ucm-config", _noise(full))),
        _frame(
            "largest-announced",
            "4096 bytes, for a module whose proto-ver announces max_frame 4096",
            Frame(REQUEST, 11, SESSION, b"ucm-config", _noise(4096 - 14 - len("ucm-config"))),
            max_frame=4096,
        ),
    ]


def _noise(length: int) -> bytes:
    """Bytes without a zero that look encrypted and are the same in every run."""
    stream = hashlib.shake_256(b"device link vectors").digest(length)
    return stream.replace(b"\0", b"\x01")


def _fields(frame: Frame) -> Case:
    return {
        "version": frame.version,
        "type": frame.type,
        "seq": frame.seq,
        "session": frame.session,
        "status": frame.status,
        "endpoint": frame.endpoint.decode(),
        "body": frame.body.hex(),
    }


def _frame(name: str, why: str, frame: Frame, max_frame: int = MAX_FRAME) -> Case:
    assert len(frame.decoded()) <= max_frame
    return {"name": name, "why": why, "max_frame": max_frame, **_fields(frame), "wire": frame.wire().hex()}


def ignored_frames() -> list[Case]:
    """What a module must not answer, and neither side may take for a frame."""
    good = Frame(REQUEST, 1, SESSION, b"ucm-info", b"\x08\x01")
    decoded, wire = good.decoded(), good.wire()
    over = Frame(REQUEST, 1, SESSION, b"ucm-config", _noise(MAX_FRAME - 13 - len("ucm-config")))
    return [
        _ignored("crc-inverted", "a wrong checksum", delimited(decoded[:-1] + bytes([decoded[-1] ^ 0xFF]))),
        _ignored("bit-flip", "one bit of the body turned over", delimited(_flip(decoded, len(decoded) - 5))),
        _ignored("crc-big-endian", "the checksum in the wrong byte order", delimited(_swapped_crc(decoded))),
        _ignored(
            "version-2",
            "a version of the future",
            Frame(REQUEST, 1, SESSION, b"ucm-info", b"\x08\x01", version=2).wire(),
        ),
        _ignored("version-0", "no version", Frame(REQUEST, 1, SESSION, b"ucm-info", b"\x08\x01", version=0).wire()),
        _ignored("type-3", "neither request nor response", Frame(3, 1, SESSION, b"ucm-info", b"\x08\x01").wire()),
        _ignored("type-0", "neither request nor response", Frame(0, 1, SESSION, b"ucm-info", b"\x08\x01").wire()),
        _ignored("oversize", f"{MAX_FRAME + 1} bytes with a right checksum", over.wire()),
        _ignored("header-cut", "a right checksum over half a header", delimited(_checked(decoded[:6]))),
        _ignored("endpoint-overruns", "a name longer than the frame", delimited(_checked(_overrun(decoded)))),
        _ignored("truncated", "the line went dead in the middle", wire[: len(wire) // 2] + b"\0"),
        _ignored("log-inside", "a log line printed into the middle", wire[:12] + LOG_LINE + wire[12:]),
        _ignored("text-between-zeros", "console text where a frame could be", b"\0" + LOG_LINE + b"\0"),
        _ignored("code-past-end", "a COBS code that points behind the block", b"\0\xf0\x01\x02\x03\0"),
        _ignored("nothing-between-zeros", "delimiters alone", bytes(6)),
    ]


def _ignored(name: str, why: str, wire: bytes) -> Case:
    return {"name": name, "why": why, "max_frame": MAX_FRAME, "wire": wire.hex()}


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def _checked(covered: bytes) -> bytes:
    return covered + struct.pack("<I", zlib.crc32(covered))


def _swapped_crc(decoded: bytes) -> bytes:
    return decoded[:-4] + decoded[:-5:-1]


def _overrun(decoded: bytes) -> bytes:
    return decoded[:9] + b"\xc8" + decoded[10:-4]


def streams() -> list[Case]:
    """A port as it is: frames between console text. `console` is the text that is no part of a frame."""
    first = Frame(REQUEST, 1, SESSION, b"ucm-info", b"\x08\x01")
    second = Frame(REQUEST, 2, SESSION, b"ucm-link", b"\x08\x01")
    cut = first.wire()[:-9]
    return [
        _stream("boot-log-first", "opening the port reset the module", [BOOT_LOG, first], console=BOOT_LOG),
        _stream("text-between", "a log line between two frames", [first, LOG_LINE, second], console=LOG_LINE),
        _stream("back-to-back", "two frames with nothing between", [first, second], console=b""),
        _stream("cut-then-whole", "the next frame's first zero ends a broken one", [cut, second]),
        _stream("log-inside-then-whole", "the retransmission gets through", [_torn(first), first]),
    ]


def _torn(frame: Frame) -> bytes:
    wire = frame.wire()
    return wire[:12] + LOG_LINE + wire[12:]


def _stream(name: str, why: str, parts: list[Frame | bytes], console: bytes | None = None) -> Case:
    """`console` None: broken pieces of frames are in the stream, and how they are counted is free."""
    return {
        "name": name,
        "why": why,
        "stream": b"".join(part.wire() if isinstance(part, Frame) else part for part in parts).hex(),
        "frames": [_fields(part) for part in parts if isinstance(part, Frame)],
        "console": None if console is None else console.hex(),
    }
