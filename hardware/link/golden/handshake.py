"""Security 2 handshakes with every secret known, and the public keys that must be refused."""

from golden import Case
from golden.reference import GROUP_BYTES, Handshake, N, Verifier, integer, minimal, pad
from ucm_sim.messages import protocomm_pb2 as pc

USERNAME = b"wifiprov"
POP = b"a7Kf-93Qp-Lm2x"
SALT = bytes.fromhex("5b1d0e7c92a34f6881d3c5b7096ae214")
SALT_ZERO_FIRST = bytes.fromhex("001d0e7c92a34f6881d3c5b7096ae214")
# What ESP-IDF's generator hands out when its random salt starts with a zero byte: fifteen bytes that the
# verifier is made of, and one byte of whatever stood behind them in memory.
SALT_BYTE_TOO_MANY = bytes.fromhex("1d0e7c92a34f6881d3c5b7096ae214a5")
DEVICE_NONCE = bytes.fromhex("c4115fe09d3276ab00000001")
A_SECRET = integer(b"\xa1" * 32)
B_SECRET = integer(b"\xb2" * 32)
# Found by counting upwards until the value under test had a leading zero byte, one time in 256.
A_SECRET_SHORT_A = A_SECRET + 123
B_SECRET_SHORT_B = B_SECRET + 358
A_SECRET_SHORT_S = A_SECRET + 659

STANDARD = Handshake(Verifier(USERNAME, POP, SALT), A_SECRET, B_SECRET)


def handshake_cases() -> list[Case]:
    """Whole exchanges: the ordinary one, then each place where a leading zero byte makes peers differ."""
    return [
        _handshake("standard", "the ordinary case", STANDARD),
        _handshake("username", "another user name, as a QR code may give one", _exchange(user=b"plant-7")),
        _handshake("inner-zero", "H(user:pop) starts with a zero byte, which stays", _exchange(b"pw00493")),
        _handshake(
            "inner-zero-stripped",
            "the same secret; this verifier was made without the zero byte, as esp_prov makes them",
            _exchange(b"pw00493", form="inner-hash-stripped"),
        ),
        _handshake("salt-zero", "the salt starts with a zero byte, which stays", _exchange(salt=SALT_ZERO_FIRST)),
        _handshake(
            "salt-zero-stripped",
            "the same salt; inside x it lost the zero byte, in M1 it is whole",
            _exchange(salt=SALT_ZERO_FIRST, form="salt-stripped"),
        ),
        _handshake(
            "both-zero-stripped",
            "salt and inner hash both start with a zero byte, and x lost both",
            _exchange(b"pw00493", salt=SALT_ZERO_FIRST, form="both-stripped"),
        ),
        _handshake(
            "salt-last-byte",
            "the verifier was made without the salt's last byte, in M1 the salt is whole",
            _exchange(salt=SALT_BYTE_TOO_MANY, form="salt-without-last-byte"),
        ),
        _handshake("short-a", "A starts with a zero byte and is still 384 bytes", _exchange(a=A_SECRET_SHORT_A)),
        _handshake("short-b", "B starts with a zero byte: 383 bytes, padded only in u", _exchange(b=B_SECRET_SHORT_B)),
        _handshake("short-s", "S starts with a zero byte: K is of 383 bytes", _exchange(a=A_SECRET_SHORT_S)),
    ]


def _exchange(
    pop: bytes = POP,
    *,
    user: bytes = USERNAME,
    salt: bytes = SALT,
    form: str = "standard",
    a: int = A_SECRET,
    b: int = B_SECRET,
) -> Handshake:
    return Handshake(Verifier(user, pop, salt, form), a, b)


def _handshake(name: str, why: str, exchange: Handshake) -> Case:
    verifier = exchange.verifier
    return {
        "name": name,
        "why": why,
        "username": verifier.username.decode(),
        "proof_of_possession": verifier.proof_of_possession.decode(),
        "salt": verifier.salt.hex(),
        "verifier_form": verifier.form,
        "inner_hash_in_x": verifier.inner_hash.hex(),
        "salt_in_x": verifier.salt_in_x.hex(),
        "x": verifier.x.to_bytes(64, "big").hex(),
        "verifier": pad(verifier.v).hex(),
        "a": minimal(exchange.a).hex(),
        "b": minimal(exchange.b).hex(),
        "A": exchange.client_key.hex(),
        "B": exchange.device_key.hex(),
        "u": exchange.u.to_bytes(64, "big").hex(),
        "S": minimal(exchange.secret).hex(),
        "K": exchange.session_key.hex(),
        "M1": exchange.client_proof.hex(),
        "M2": exchange.device_proof.hex(),
        "device_nonce": DEVICE_NONCE.hex(),
        "messages": {step: data.hex() for step, data in session_messages(exchange).items()},
    }


def session_messages(exchange: Handshake) -> dict[str, bytes]:
    """The four SessionData messages in order, named as protocomm names their payloads."""
    user, salt = exchange.verifier.username, exchange.verifier.salt
    payloads = {
        "sc0": pc.Sec2Payload(sc0=pc.S2SessionCmd0(client_username=user, client_pubkey=exchange.client_key)),
        "sr0": pc.Sec2Payload(
            msg=pc.S2Session_Response0,
            sr0=pc.S2SessionResp0(device_pubkey=exchange.device_key, device_salt=salt),
        ),
        "sc1": pc.Sec2Payload(msg=pc.S2Session_Command1, sc1=pc.S2SessionCmd1(client_proof=exchange.client_proof)),
        "sr1": pc.Sec2Payload(
            msg=pc.S2Session_Response1,
            sr1=pc.S2SessionResp1(device_proof=exchange.device_proof, device_nonce=DEVICE_NONCE),
        ),
    }
    return {step: _session_data(payload) for step, payload in payloads.items()}


def _session_data(payload: pc.Sec2Payload) -> bytes:
    return pc.SessionData(sec_ver=pc.SecScheme2, sec2=payload).SerializeToString(deterministic=True)


def refused_keys() -> list[Case]:
    """Public keys that would fix the session key whatever the secret is, or that have a wrong length."""
    return [
        _refused("a-zero", "module", "A mod N = 0", _sc0(bytes(GROUP_BYTES))),
        _refused("a-is-n", "module", "A mod N = 0, and A is not zero itself", _sc0(pad(N))),
        _refused("a-short", "module", "A of 383 bytes", _sc0(STANDARD.client_key[1:])),
        _refused("user-empty", "module", "no user name", _sc0(STANDARD.client_key, user=b"")),
        _refused("b-zero", "client", "B mod N = 0", _sr0(b"\0")),
        _refused("b-absent", "client", "B mod N = 0, as an empty field", _sr0(b"")),
        _refused("b-is-n", "client", "B mod N = 0, and B is not zero itself", _sr0(pad(N))),
    ]


def _refused(name: str, receiver: str, why: str, message: bytes) -> Case:
    return {"name": name, "why": why, "receiver": receiver, "message": message.hex()}


def _sc0(key: bytes, user: bytes = USERNAME) -> bytes:
    return _session_data(pc.Sec2Payload(sc0=pc.S2SessionCmd0(client_username=user, client_pubkey=key)))


def _sr0(key: bytes) -> bytes:
    answer = pc.S2SessionResp0(device_pubkey=key, device_salt=SALT)
    return _session_data(pc.Sec2Payload(msg=pc.S2Session_Response0, sr0=answer))
