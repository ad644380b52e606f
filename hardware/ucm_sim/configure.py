"""`ucm-config`: reserve, begin, chunk, commit, confirm, abort, reset.

Replies always succeed as protocomm calls; what a request came to is the status inside them.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError

from ucm_sim.messages import ucm_link_pb2 as pb
from ucm_sim.proposal import ProposalError, resolve
from ucm_sim.protocomm import Session
from ucm_sim.reservation import LONGEST_S, ReservationDesk, is_valid_owner
from ucm_sim.slots import Configuration, Slots
from ucm_sim.staging import LARGEST, Staging

TRANSACTION_LENGTH = 16
DIGEST_LENGTH = 32
SHORTEST_TRIAL_S, LONGEST_TRIAL_S = 30, 900


class Consequences(Protocol):
    """What a configuration request sets in motion outside the transaction's own state."""

    def now_on_trial(self) -> None:
        """A configuration was committed: connect with it, once the answer has left."""

    def trial_confirmed(self) -> None:
        """The host confirmed the configuration on trial."""

    def trial_aborted(self) -> None:
        """The host ended the trial."""

    def reset_asked(self) -> None:
        """Forget everything, once the answer has left."""

    def offer_time(self, unix_ms: int) -> None:
        """The host says what time it is; 0: it does not know."""


class _RefusalError(Exception):
    def __init__(self, reply: pb.ConfigReply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


def _refuse(status: pb.Status.ValueType, detail: str, *, next_offset: int = 0, generation: int = 0) -> _RefusalError:
    reply = pb.ConfigReply(status=status, detail=detail, next_offset=next_offset, generation=generation)
    return _RefusalError(reply)


class Configurator:
    """The transaction state of a module, shared by all its carriers. Its own part is RAM."""

    def __init__(
        self,
        hardware_id: str,
        slots: Slots,
        desk: ReservationDesk,
        consequences: Consequences,
        counts: Counter[str],
    ) -> None:
        self._hardware_id = hardware_id
        self._slots = slots
        self._desk = desk
        self._consequences = consequences
        self._counts = counts
        self._actions: dict[str, Callable[[Session, pb.ConfigRequest], pb.ConfigReply]] = {
            "begin": lambda _, request: self._begin(request.begin),
            "chunk": lambda _, request: self._chunk(request.chunk),
            "commit": lambda session, request: self._commit(session, request.commit),
            "confirm": lambda _, request: self._confirm(request.confirm),
            "abort": lambda _, request: self._abort(request.abort),
            "reset": lambda _, request: self._reset(request.reset),
        }
        self.staging: Staging | None = None

    def forget(self) -> None:
        """Drop staging and reservation."""
        self.staging = None
        self._desk.release()

    def answer(self, session: Session, body: bytes) -> bytes:
        """Run one request and return the serialized reply."""
        try:
            reply = self._run(session, pb.ConfigRequest.FromString(body))
        except DecodeError:
            reply = pb.ConfigReply(status=pb.INVALID_ARGUMENT, detail="the request does not parse")
        except _RefusalError as refusal:
            reply = refusal.reply
        return reply.SerializeToString()

    def _run(self, session: Session, request: pb.ConfigRequest) -> pb.ConfigReply:
        kind = request.WhichOneof("request")
        if kind is None:
            raise _refuse(pb.INVALID_ARGUMENT, "no request this firmware knows")
        self._counts[kind] += 1
        if kind == "reserve":
            return self._reserve(session, request.reserve)
        self._require_reservation(session)
        return self._actions[kind](session, request)

    # ---- the reservation ----

    def _reserve(self, session: Session, asked: pb.Reserve) -> pb.ConfigReply:
        if not is_valid_owner(asked.owner) or asked.seconds > LONGEST_S:
            raise _refuse(pb.INVALID_ARGUMENT, f"owner: 1 to 64 printable ASCII; seconds: up to {LONGEST_S}")
        self._refuse_if_held_by_other(asked.owner)
        if asked.seconds:
            self._desk.hold(asked.owner, asked.seconds)
            session.owner = asked.owner
        else:
            self._desk.release()
            session.owner = ""
        return pb.ConfigReply(status=pb.OK, reservation=self._desk.message())

    def _require_reservation(self, session: Session) -> None:
        self._refuse_if_held_by_other(session.owner)
        if not self._desk.owner:
            raise _refuse(pb.REFUSED, "reserve first, in this session")

    def _refuse_if_held_by_other(self, owner: str) -> None:
        holder = self._desk.message()
        if holder is not None and holder.owner != owner:
            detail = f"reserved by {holder.owner} for {holder.remaining_s} s"
            raise _RefusalError(pb.ConfigReply(status=pb.BUSY, detail=detail, reservation=holder))

    # ---- the transfer ----

    def _begin(self, begin: pb.Begin) -> pb.ConfigReply:
        if len(begin.transaction) != TRANSACTION_LENGTH or len(begin.sha256) != DIGEST_LENGTH:
            raise _refuse(pb.INVALID_ARGUMENT, "transaction: 16 bytes; sha256: 32 bytes")
        if remembered := self._remembered(begin.transaction):
            return remembered
        if self._slots.trial:
            raise _refuse(pb.CONFLICT, "another configuration is on trial")
        self._check_size(begin.total)
        self._check_base(begin.base_generation)
        if self.staging is None or self.staging.transaction != begin.transaction:
            self.staging = Staging(begin.transaction, begin.total, begin.sha256)
        elif (self.staging.total, self.staging.sha256) != (begin.total, begin.sha256):
            raise _refuse(pb.INVALID_ARGUMENT, "this transaction began with another total or digest")
        return pb.ConfigReply(status=pb.OK, next_offset=self.staging.next_offset)

    def _check_size(self, total: int) -> None:
        if total == 0:
            raise _refuse(pb.INVALID_ARGUMENT, "total is 0")
        if total > LARGEST:
            raise _refuse(pb.TOO_LARGE, f"a slot holds {LARGEST} bytes")

    def _check_base(self, base_generation: int) -> None:
        active = self._active_generation()
        if base_generation != active:
            raise _refuse(pb.CONFLICT, f"generation {active} is active", generation=active)

    def _chunk(self, chunk: pb.Chunk) -> pb.ConfigReply:
        staging = self._staged(chunk.transaction)
        if chunk.offset + len(chunk.payload) > staging.total:
            raise _refuse(pb.INVALID_ARGUMENT, "beyond the total")
        if chunk.offset > staging.next_offset:
            raise _refuse(pb.OUT_OF_ORDER, "a gap", next_offset=staging.next_offset)
        staging.accept(chunk.offset, chunk.payload)
        return pb.ConfigReply(status=pb.OK, next_offset=staging.next_offset)

    def _staged(self, transaction: bytes) -> Staging:
        if self.staging is None or self.staging.transaction != transaction:
            raise _refuse(pb.NOT_FOUND, "this transaction is not staged")
        return self.staging

    # ---- commit and what follows ----

    def _commit(self, session: Session, commit: pb.Commit) -> pb.ConfigReply:
        if remembered := self._remembered(commit.transaction):
            return remembered
        staging = self._staged(commit.transaction)
        try:
            config = self._checked(staging, commit)
        except _RefusalError as refusal:
            if refusal.reply.status != pb.OUT_OF_ORDER:
                self.staging = None
            raise
        self._consequences.offer_time(commit.now_unix_ms)
        generation = self._put_on_trial(session.owner, staging, config, commit)
        self._consequences.now_on_trial()
        return pb.ConfigReply(status=pb.OK, generation=generation)

    def _checked(self, staging: Staging, commit: pb.Commit) -> pb.ModuleConfig:
        _check_terms(commit)
        if not staging.is_complete:
            raise _refuse(pb.OUT_OF_ORDER, "incomplete", next_offset=staging.next_offset)
        if not staging.is_intact:
            raise _refuse(pb.CORRUPT, "the digest does not fit the bytes")
        active = self._slots.active
        try:
            config = resolve(
                bytes(staging.received),
                self._hardware_id,
                active.module_config if active else None,
                self._slots.wifi,
            )
        except ProposalError as refusal:
            raise _refuse(pb.INVALID_ARGUMENT, str(refusal)) from refusal
        if commit.ssid and commit.ssid not in [network.ssid for network in config.wifi]:
            raise _refuse(pb.INVALID_ARGUMENT, "ssid is not one of the configuration's networks")
        return config

    def _put_on_trial(self, owner: str, staging: Staging, config: pb.ModuleConfig, commit: pb.Commit) -> int:
        configuration = Configuration(
            generation=self._slots.next_generation,
            transaction=staging.transaction,
            sha256=staging.sha256,
            owner=owner,
            config=config.SerializeToString(),
        )
        self._slots.commit(configuration, commit.confirm_by, commit.trial_s * 1000, commit.ssid)
        self.staging = None
        return configuration.generation

    def _confirm(self, confirm: pb.Confirm) -> pb.ConfigReply:
        tried = self._slots.tried
        if tried is not None and tried.generation == confirm.generation:
            self._consequences.trial_confirmed()
        elif not confirm.generation or confirm.generation != self._active_generation():
            raise _refuse(pb.NOT_FOUND, "neither on trial nor active", generation=self._active_generation())
        return pb.ConfigReply(status=pb.OK, generation=confirm.generation)

    def _abort(self, abort: pb.Abort) -> pb.ConfigReply:
        active, tried = self._slots.active, self._slots.tried
        if active is not None and active.transaction == abort.transaction:
            raise _refuse(pb.CONFLICT, "already active", generation=active.generation)
        if tried is not None and tried.transaction == abort.transaction:
            self._consequences.trial_aborted()
        if self.staging is not None and self.staging.transaction == abort.transaction:
            self.staging = None
        return pb.ConfigReply(status=pb.OK)

    def _reset(self, reset: pb.Reset) -> pb.ConfigReply:
        if reset.version != 1:
            raise _refuse(pb.INVALID_ARGUMENT, f"unknown version {reset.version}")
        self._consequences.reset_asked()
        return pb.ConfigReply(status=pb.OK)

    def _remembered(self, transaction: bytes) -> pb.ConfigReply | None:
        """The answer for a transaction whose end is known: its first answer may have been lost."""
        for known in (self._slots.tried, self._slots.active):
            if known is not None and known.transaction == transaction:
                return pb.ConfigReply(status=pb.OK, generation=known.generation)
        if transaction and transaction == self._slots.failed_transaction:
            raise _refuse(pb.REFUSED, "this transaction failed before")
        return None

    def _active_generation(self) -> int:
        return self._slots.active.generation if self._slots.active else 0


def _check_terms(commit: pb.Commit) -> None:
    if commit.confirm_by not in (pb.MODULE_ONLINE, pb.HOST):
        raise _refuse(pb.INVALID_ARGUMENT, f"unknown confirm_by {commit.confirm_by}")
    if not SHORTEST_TRIAL_S <= commit.trial_s <= LONGEST_TRIAL_S:
        raise _refuse(pb.INVALID_ARGUMENT, f"trial_s: {SHORTEST_TRIAL_S} to {LONGEST_TRIAL_S}")
