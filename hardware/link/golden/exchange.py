"""One whole conversation on the serial carrier: a new module gets its first configuration."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from golden import Case
from golden.configurations import DEVICE_ID, NETWORKS, base, serialized, with_certificate
from golden.frames import PROTO_VER, REQUEST, RESPONSE, SESSION
from golden.handshake import DEVICE_NONCE, STANDARD, session_messages
from golden.reference import Channel, Frame
from golden.sample_credentials import HARDWARE_ID
from ucm_sim.messages import ucm_link_pb2 as link

OWNER = "box-3f9a1c20"
TRANSACTION = bytes.fromhex("7d1f0a6be2c94853b0a96f1e5c3d2b80")
# Smaller than a module allows, so that a configuration with EC keys takes two.
CHUNK_BYTES = 1024
NOW_UNIX_MS = 1_790_000_000_000
CONFIG = serialized(with_certificate(base(*NETWORKS)))
DIGEST = hashlib.sha256(CONFIG).digest()


@dataclass(frozen=True)
class Call:
    """One request and its answer, before encryption."""

    why: str
    endpoint: str
    request: Message
    response: Message


def calls() -> Iterator[Call]:
    """The conversation after the handshake."""
    yield Call("who is it", "ucm-info", link.InfoRequest(version=1), _info(clock_unix_ms=0, uptime_ms=41_250))
    yield _config("before the provisioning API is asked", _reserve(120), _held(120))
    yield _config(
        "stage",
        link.ConfigRequest(begin=link.Begin(transaction=TRANSACTION, total=len(CONFIG), sha256=DIGEST)),
        link.ConfigReply(status=link.OK),
    )
    yield from _chunks()
    yield _config("the reservation must outlast the trial", _reserve(180), _held(180))
    yield _config("start the trial", _commit(), link.ConfigReply(status=link.OK, generation=1))
    yield _link("the radio is trying", _state(link.WIFI, phase_ms=640))
    yield _link("the broker granted the subscription, so the module confirmed itself", _online())
    yield Call("what is active now", "ucm-info", link.InfoRequest(version=1), _configured())


def _chunks() -> Iterator[Call]:
    for offset in range(0, len(CONFIG), CHUNK_BYTES):
        payload = CONFIG[offset : offset + CHUNK_BYTES]
        chunk = link.Chunk(transaction=TRANSACTION, offset=offset, payload=payload)
        reply = link.ConfigReply(status=link.OK, next_offset=offset + len(payload))
        yield _config(f"bytes {offset} to {offset + len(payload) - 1}", link.ConfigRequest(chunk=chunk), reply)


def _config(why: str, request: link.ConfigRequest, reply: link.ConfigReply) -> Call:
    return Call(why, "ucm-config", request, reply)


def _link(why: str, state: link.LinkState) -> Call:
    return Call(why, "ucm-link", link.LinkRequest(version=1), state)


def _info(uptime_ms: int, clock_unix_ms: int) -> link.Info:
    return link.Info(
        status=link.OK,
        hardware_id=HARDWARE_ID,
        product=link.UCM,
        model="ENP-RL6",
        firmware="2.4.1",
        channel_id="ucm",
        mac=bytes.fromhex("7cdfa1b00c3e"),
        uptime_ms=uptime_ms,
        clock_unix_ms=clock_unix_ms,
    )


def _configured() -> link.Info:
    info = _info(uptime_ms=49_730, clock_unix_ms=NOW_UNIX_MS + 4_180)
    info.active.MergeFrom(
        link.ConfigState(
            generation=1,
            sha256=DIGEST,
            device_id=DEVICE_ID,
            ssid=[network.ssid for network in NETWORKS],
            owner=OWNER,
            transaction=TRANSACTION,
        )
    )
    info.reservation.MergeFrom(link.Reservation(owner=OWNER, remaining_s=175))
    return info


def _reserve(seconds: int) -> link.ConfigRequest:
    return link.ConfigRequest(reserve=link.Reserve(owner=OWNER, seconds=seconds))


def _held(seconds: int) -> link.ConfigReply:
    held = link.Reservation(owner=OWNER, remaining_s=seconds)
    return link.ConfigReply(status=link.OK, reservation=held)


def _commit() -> link.ConfigRequest:
    return link.ConfigRequest(
        commit=link.Commit(transaction=TRANSACTION, confirm_by=link.MODULE_ONLINE, trial_s=120, now_unix_ms=NOW_UNIX_MS)
    )


def _state(phase: link.Phase, phase_ms: int) -> link.LinkState:
    return link.LinkState(status=link.OK, phase=phase, reason=link.NONE, generation=1, phase_ms=phase_ms)


def _online() -> link.LinkState:
    state = _state(link.ONLINE, phase_ms=310)
    state.MergeFrom(link.LinkState(rssi_dbm=-58, ip="10.20.0.57", ssid="plant-wifi", clock_offset_ms=-12))
    ended = link.LastTrial(transaction=TRANSACTION, generation=1, phase=link.ONLINE, reason=link.NONE)
    state.last_trial.MergeFrom(ended)
    return state


def exchange_case() -> Case:
    """The conversation with every byte of it; `counter_after` is the nonce counter when both are done."""
    key = STANDARD.session_key
    return {
        "why": "both sides move one nonce counter: request n, response n + 1, next request n + 2",
        "handshake": "standard",
        "session": SESSION,
        "key": key[:32].hex(),
        "device_nonce": DEVICE_NONCE.hex(),
        "configuration": "certificate",
        "opening": _opening(),
        "calls": _encrypted(Channel(key, DEVICE_NONCE), first_seq=len(_opening())),
        "empty_plaintext": _empty(),
    }


def _opening() -> list[Case]:
    messages = session_messages(STANDARD)
    pairs = [
        ("proto-ver", b"-", PROTO_VER),
        ("prov-session", messages["sc0"], messages["sr0"]),
        ("prov-session", messages["sc1"], messages["sr1"]),
    ]
    return [
        {"seq": seq, "endpoint": name, "request": _sent(seq, name, body), "response": _answered(seq, answer)}
        for seq, (name, body, answer) in enumerate(pairs)
    ]


def _encrypted(channel: Channel, first_seq: int) -> list[Case]:
    return [_call(channel, seq, call) for seq, call in enumerate(calls(), first_seq)]


def _call(channel: Channel, seq: int, call: Call) -> Case:
    request = _sealed(channel, call.request)
    response = _sealed(channel, call.response)
    return {
        "seq": seq,
        "why": call.why,
        "endpoint": call.endpoint,
        "request": request | _sent(seq, call.endpoint, bytes.fromhex(request["body"])),
        "response": response | _answered(seq, bytes.fromhex(response["body"])),
    }


def _sealed(channel: Channel, message: Message) -> Case:
    plaintext, nonce = message.SerializeToString(deterministic=True), channel.nonce
    return {
        "message": message.DESCRIPTOR.full_name,
        "json": MessageToDict(message, preserving_proto_field_name=True),
        "plaintext": plaintext.hex(),
        "nonce": nonce.hex(),
        "body": channel.encrypt(plaintext).hex(),
        "counter_after": channel.counter,
    }


def _sent(seq: int, endpoint: str, body: bytes) -> Case:
    wire = Frame(REQUEST, seq, SESSION, endpoint.encode(), body).wire()
    return {"body": body.hex(), "wire": wire.hex()}


def _answered(seq: int, body: bytes) -> Case:
    return {"body": body.hex(), "wire": Frame(RESPONSE, seq, SESSION, body=body).wire().hex()}


def _empty() -> Case:
    """A tag over nothing, sent as the first call instead of the one above: refused, the session is over."""
    seq, body = len(_opening()), Channel(STANDARD.session_key, DEVICE_NONCE).encrypt(b"")
    refusal = Frame(RESPONSE, seq, SESSION, status=0x101)
    return {
        "why": "no message is empty: ESP-IDF cannot allocate zero bytes and answers ESP_ERR_NO_MEM",
        "seq": seq,
        "endpoint": "ucm-info",
        "request": _sent(seq, "ucm-info", body),
        "response": {"status": 0x101, "wire": refusal.wire().hex()},
    }
