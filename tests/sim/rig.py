"""The transaction of a module without a carrier or a clock of its own: requests in, replies out."""

import hashlib
import secrets
from collections import Counter
from pathlib import Path

from tests.sim.sample import HARDWARE_ID
from ucm_sim.configure import Configurator
from ucm_sim.flash import Flash
from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.protocomm import Session
from ucm_sim.reservation import ReservationDesk
from ucm_sim.security2 import Security2
from ucm_sim.slots import Slots
from ucm_sim.srp import Verifier


class Consequences:
    """Ends trials as firmware does, and notes what else a request set in motion."""

    def __init__(self, slots: Slots, noted: list[str]) -> None:
        self._slots = slots
        self._noted = noted
        self.time_offered = 0

    def now_on_trial(self) -> None:
        self._noted.append("now_on_trial")

    def trial_confirmed(self) -> None:
        self._noted.append("trial_confirmed")
        self._slots.confirm(pb.MQTT)

    def trial_aborted(self) -> None:
        self._noted.append("trial_aborted")
        self._slots.roll_back(pb.TLS, pb.ABORTED)

    def reset_asked(self) -> None:
        self._noted.append("reset_asked")

    def offer_time(self, unix_ms: int) -> None:
        self.time_offered = unix_ms


def new_session(number: int = 1) -> Session:
    return Session(number, Security2(lambda: Verifier(b"", b""), secrets.token_bytes))


class TransactionRig:
    """One boot of a module's transaction code over a flash file. `now` is its uptime in seconds."""

    def __init__(self, flash: Path | Flash) -> None:
        self.flash = flash if isinstance(flash, Flash) else Flash(flash)
        self.now = 0.0
        self.consequences: list[str] = []
        self.slots = Slots(self.flash)
        self.slots.recover()
        self.desk = ReservationDesk(lambda: self.now)
        self.effects = Consequences(self.slots, self.consequences)
        self.configurator = Configurator(HARDWARE_ID, self.slots, self.desk, self.effects, Counter())
        self.session = new_session()

    def ask(self, session: Session | None = None, **request: object) -> pb.ConfigReply:
        message = pb.ConfigRequest(**request)  # type: ignore[arg-type]  # the oneof case is the caller's
        return self.raw(message.SerializeToString(), session)

    def raw(self, body: bytes, session: Session | None = None) -> pb.ConfigReply:
        return pb.ConfigReply.FromString(self.configurator.answer(session or self.session, body))

    def reserve(self, owner: str = "box-1", seconds: int = 120, session: Session | None = None) -> pb.ConfigReply:
        return self.ask(session, reserve=pb.Reserve(owner=owner, seconds=seconds))

    def begin(self, transaction: bytes, blob: bytes, *, base: int = 0, **changed: object) -> pb.ConfigReply:
        fields = {
            "transaction": transaction,
            "total": len(blob),
            "sha256": hashlib.sha256(blob).digest(),
            "base_generation": base,
            **changed,
        }
        return self.ask(begin=pb.Begin(**fields))  # type: ignore[arg-type]  # mixed on purpose

    def chunk(self, transaction: bytes, offset: int, payload: bytes) -> pb.ConfigReply:
        return self.ask(chunk=pb.Chunk(transaction=transaction, offset=offset, payload=payload))

    def commit(self, transaction: bytes, **changed: object) -> pb.ConfigReply:
        terms = {"confirm_by": pb.MODULE_ONLINE, "trial_s": 120, **changed}
        return self.ask(commit=pb.Commit(transaction=transaction, **terms))  # type: ignore[arg-type]  # mixed

    def stage(self, blob: bytes, *, base: int = 0, transaction: bytes = b"") -> bytes:
        """Reserve, begin and send the whole of a configuration; return its transaction."""
        transaction = transaction or secrets.token_bytes(16)
        self.reserve()
        self.begin(transaction, blob, base=base)
        self.chunk(transaction, 0, blob)
        return transaction

    def push(self, blob: bytes, *, base: int = 0, **terms: object) -> pb.ConfigReply:
        return self.commit(self.stage(blob, base=base), **terms)

    def activate(self, config: pb.ModuleConfig, *, base: int = 0) -> bytes:
        """Make a configuration the active one; return its transaction."""
        transaction = self.stage(config.SerializeToString(), base=base)
        generation = self.commit(transaction).generation
        assert self.ask(confirm=pb.Confirm(generation=generation)).status == pb.OK
        return transaction
