"""Handshake and endpoint calls over a real terminal."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sim.host import (
    G,
    Host,
    N,
    Refused,
    SrpClient,
    number,
    opened,
    request_frame,
    secured,
    sha512,
)
from tests.sim.sample import HARDWARE_ID, POP
from ucm_sim import Attached, Identity, SerialModule, VerifierForm
from ucm_sim.messages import protocomm_pb2 as proto
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.srp import make_verifier

FAIL, NO_MEM, INVALID_ARG, INVALID_STATE, NOT_FOUND = 0xFFFF, 0x101, 0x102, 0x103, 0x105


@pytest.fixture
async def module(identity: Identity, state_file: Path, port: Path) -> AsyncIterator[SerialModule]:
    async with SerialModule(identity, state_file, port, baud=0, boot_s=0) as module:
        await module.until(lambda module: module.answers, timeout=5)
        yield module


@pytest.fixture
async def host(module: SerialModule, port: Path) -> AsyncIterator[Host]:
    async with opened(port) as host:
        yield host


async def test_version(host: Host) -> None:
    assert json.loads(await host.call("proto-ver", b"-")) == {
        "ucm": {"ver": "1.0", "cap": ["config", "trial", "scan", "identify"], "max_frame": 2304, "id": HARDWARE_ID},
        "prov": {"ver": "netprov-v1.2", "sec_ver": 2, "sec_patch_ver": 1, "cap": []},
    }


async def test_a_session_from_the_first_frame_to_the_last(host: Host, identity: Identity) -> None:
    await host.call("proto-ver", b"-")
    await host.shake_hands(POP)
    for _ in range(3):
        assert (await host.info()).status == pb.OK
    info = await host.info()
    assert (info.status, info.hardware_id, info.product) == (pb.OK, HARDWARE_ID, pb.UCM)
    assert (info.model, info.firmware, info.channel_id) == ("ENP-RL6", "2.4.1", "ucm")
    assert info.mac == identity.mac
    assert not info.HasField("active")
    assert not info.HasField("reservation")
    link = await host.link()
    assert (link.phase, link.reason, link.generation) == (pb.IDLE, pb.NONE, 0)
    assert not link.HasField("last_trial")


async def test_a_link_master_lists_what_is_attached(state_file: Path, port: Path) -> None:
    slaves = tuple(Attached(f"B{number:032X}", "ENP-AO6") for number in range(20))
    master = Identity(HARDWARE_ID, POP, product="LINK_MASTER", attached=slaves)
    async with SerialModule(master, state_file, port, baud=0), secured(port, POP) as host:
        info = await host.info()
        assert info.product == pb.LINK_MASTER
        assert [slave.hardware_id for slave in info.attached] == [slave.hardware_id for slave in slaves[:16]]


# ---- refusals of protocomm ----


@pytest.mark.parametrize("endpoint", ["prov-config", "nothing", ""])
async def test_unknown_endpoints(host: Host, endpoint: str) -> None:
    with pytest.raises(Refused) as refusal:
        await host.call(endpoint, b"-")
    assert refusal.value.status == NOT_FOUND


@pytest.mark.parametrize("endpoint", ["ucm-info", "ucm-config", "ucm-link", "ucm-identify"])
async def test_encrypted_endpoints_before_the_handshake(host: Host, endpoint: str) -> None:
    with pytest.raises(Refused) as refusal:
        await host.call(endpoint, b"-" * 20)
    assert refusal.value.status == INVALID_STATE


async def test_a_failed_decryption_does_not_move_the_counter(host: Host) -> None:
    await host.shake_hands(POP)
    with pytest.raises(Refused) as refusal:
        await host.call("ucm-info", b"\x5a" * 40)
    assert refusal.value.status == FAIL
    assert (await host.info()).status == pb.OK


@pytest.mark.parametrize("body", [b"", b"\x5a" * 16])
async def test_an_empty_plaintext_finds_no_memory(host: Host, body: bytes) -> None:
    await host.shake_hands(POP)
    with pytest.raises(Refused) as refusal:
        await host.call("ucm-info", body)
    assert refusal.value.status == NO_MEM
    assert (await host.info()).status == pb.OK


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        proto.SessionData(sec_ver=proto.SecScheme1).SerializeToString(),
        proto.SessionData(sec_ver=proto.SecScheme2).SerializeToString(),
    ],
)
async def test_bodies_that_are_no_handshake(host: Host, body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        await host.call("prov-session", body)
    assert refusal.value.status == INVALID_ARG


@pytest.mark.parametrize("key", [bytes(384), N.to_bytes(384, "big"), b"\1" * 383, b"\1" * 385, b""])
async def test_public_keys_that_are_refused(host: Host, key: bytes) -> None:
    first = proto.S2SessionCmd0(client_username=b"wifiprov", client_pubkey=key)
    with pytest.raises(Refused) as refusal:
        await host.step(proto.Sec2Payload(msg=proto.S2Session_Command0, sc0=first))
    assert refusal.value.status == FAIL
    await host.shake_hands(POP)


async def test_message_type_and_payload_must_fit(host: Host) -> None:
    key = SrpClient("wifiprov", POP).public_key
    first = proto.S2SessionCmd0(client_username=b"wifiprov", client_pubkey=key)
    with pytest.raises(Refused):
        await host.step(proto.Sec2Payload(msg=proto.S2Session_Command1, sc0=first))


@pytest.mark.parametrize(("pop", "username"), [("wrong", "wifiprov"), (POP, "somebody")])
async def test_a_wrong_secret(host: Host, pop: str, username: str) -> None:
    with pytest.raises(Refused) as refusal:
        await host.shake_hands(pop, username)
    assert refusal.value.status == FAIL
    with pytest.raises(Refused) as refusal:
        await host.call("ucm-info", b"-" * 20)
    assert refusal.value.status == INVALID_STATE


async def test_a_proof_without_a_first_step(host: Host) -> None:
    with pytest.raises(Refused):
        await host.prove(SrpClient("wifiprov", POP))


async def test_another_user_name(state_file: Path, port: Path) -> None:
    identity = Identity(HARDWARE_ID, POP, username="plant-7")
    async with SerialModule(identity, state_file, port, baud=0), opened(port) as host:
        await host.shake_hands(POP, "plant-7")
        assert (await host.info()).status == pb.OK


# ---- verifiers that were made another way ----


def x_of(form: VerifierForm, salt: bytes, pop: str) -> int:
    inner = sha512(f"wifiprov:{pop}".encode())
    if form in (VerifierForm.INNER_HASH_STRIPPED, VerifierForm.BOTH_STRIPPED):
        inner = inner.lstrip(b"\0")
    if form in (VerifierForm.SALT_STRIPPED, VerifierForm.BOTH_STRIPPED):
        salt = salt.lstrip(b"\0")
    return number(sha512(salt[:-1] if form is VerifierForm.SALT_WITHOUT_LAST_BYTE else salt, inner))


@pytest.mark.parametrize("form", VerifierForm)
@pytest.mark.parametrize("salt", [b"\x07" * 16, b"\0\0" + b"\x07" * 14])
def test_verifier_forms(form: VerifierForm, salt: bytes) -> None:
    pop = "pw00493"  # H(wifiprov:pw00493) starts with a zero byte
    assert sha512(f"wifiprov:{pop}".encode())[0] == 0
    verifier = make_verifier("wifiprov", pop, salt, form)
    assert number(verifier.value) == pow(G, x_of(form, salt, pop), N)
    assert verifier.salt == salt


@pytest.mark.parametrize("form", [VerifierForm.INNER_HASH_STRIPPED, VerifierForm.SALT_WITHOUT_LAST_BYTE])
async def test_a_module_with_an_odd_verifier(state_file: Path, port: Path, form: VerifierForm) -> None:
    pop = "pw00493"
    module = SerialModule(Identity(HARDWARE_ID, pop), state_file, port, baud=0, verifier_form=form)
    async with module, opened(port) as host:
        with pytest.raises(Refused):
            await host.shake_hands(pop)
        client = SrpClient("wifiprov", pop)
        first = proto.S2SessionCmd0(client_username=b"wifiprov", client_pubkey=client.public_key)
        answer = (await host.step(proto.Sec2Payload(msg=proto.S2Session_Command0, sc0=first))).sr0
        client.receive_with(x_of(form, answer.device_salt, pop), answer.device_salt, answer.device_pubkey)
        await host.prove(client)
        assert (await host.info()).status == pb.OK


# ---- retransmission and sessions ----


async def test_a_repetition_is_answered_from_the_cache(module: SerialModule, host: Host) -> None:
    await host.shake_hands(POP)
    await host.reserve()
    begin = pb.ConfigRequest(begin=pb.Begin(transaction=b"t" * 16, total=9, sha256=bytes(32)))
    seq, host.seq = host.seq, host.seq + 1
    frame = request_frame(host.session, seq, "ucm-config", host.seal(begin.SerializeToString()))
    first = await host.exchange(frame, seq)
    assert await host.exchange(frame, seq) == first
    assert pb.ConfigReply.FromString(host.unseal(first)).status == pb.OK
    assert module.executed("begin") == 1
    assert (await host.info()).staged.total == 9


async def test_a_new_session_closes_the_old_one(host: Host) -> None:
    await host.shake_hands(POP)
    old, host.session, host.seq = host.session, host.session ^ 1, 0
    await host.call("proto-ver", b"-")
    host.session = old
    with pytest.raises(Refused) as refusal:
        await host.call("ucm-info", host.seal(b"\x08\x01"))
    assert refusal.value.status == INVALID_STATE


async def test_a_reboot_forgets_session_reservation_and_staging(module: SerialModule, host: Host) -> None:
    await host.shake_hands(POP)
    await host.reserve()
    await host.config(begin=pb.Begin(transaction=b"t" * 16, total=9, sha256=bytes(32)))
    await module.reboot()
    with pytest.raises(Refused) as refusal:
        await host.call("ucm-info", host.seal(b"\x08\x01"))
    assert refusal.value.status == INVALID_STATE
    await host.shake_hands(POP)
    info = await host.info()
    assert not info.HasField("reservation")
    assert not info.HasField("staged")
    assert module.boots == 2


# ---- what the harmless endpoints refuse ----


async def test_versions_of_the_future(host: Host) -> None:
    await host.shake_hands(POP)
    future = pb.InfoRequest(version=2).SerializeToString()
    info = pb.Info.FromString(await host.secure("ucm-info", future))
    link = pb.LinkState.FromString(await host.secure("ucm-link", b"\xff"))
    assert (info.status, link.status) == (pb.INVALID_ARGUMENT, pb.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, "INVALID_ARGUMENT"), (1, "OK"), (60, "OK"), (61, "INVALID_ARGUMENT")]
)
async def test_identify(module: SerialModule, host: Host, seconds: int, status: str) -> None:
    await host.shake_hands(POP)
    # A field that this firmware does not know keeps the message from being empty.
    request = pb.IdentifyRequest(seconds=seconds).SerializeToString() + b"\x78\x01"
    reply = pb.ConfigReply.FromString(await host.secure("ucm-identify", request))
    assert pb.Status.Name(reply.status) == status
    assert module.identify_requests == (status == "OK")
