"""Two configuration slots and the record that says which of them counts.

A configuration is written to the slot that nobody uses, then the record is flipped in one write. Whatever
is cut short before the flip did not happen; whatever is left over after it is erased at the next boot.
"""

import msgspec

from ucm_sim.flash import Flash
from ucm_sim.messages import ucm_link_pb2 as pb

# A module that fails to hold a configuration over this many boots gives it up (the link's section on trials).
LAST_BOOT_OF_A_TRIAL = 4

_SLOTS = ("slot-0", "slot-1")
_RECORD = "record"


class Configuration(msgspec.Struct, frozen=True):
    """What one slot holds. `config` is a serialized ModuleConfig with everything resolved."""

    generation: int
    transaction: bytes
    sha256: bytes
    owner: str
    config: bytes

    def __repr__(self) -> str:
        return f"Configuration(generation={self.generation})"

    @property
    def module_config(self) -> pb.ModuleConfig:
        return pb.ModuleConfig.FromString(self.config)

    def state(self) -> pb.ConfigState:
        """What `ucm-info` says about it."""
        config = self.module_config
        return pb.ConfigState(
            generation=self.generation,
            sha256=self.sha256,
            device_id=config.device_id,
            ssid=[network.ssid for network in config.wifi],
            owner=self.owner,
            transaction=self.transaction,
        )


class Progress(msgspec.Struct, frozen=True):
    """How far a connection came: the furthest phase, and the furthest failure that was not overcome."""

    furthest: int = pb.IDLE
    failed: int = pb.PHASE_UNSPECIFIED
    reason: int = pb.NONE

    def entered(self, phase: int) -> "Progress":
        if phase == pb.ONLINE:
            # Online, the failures on the way there explain nothing any more.
            return Progress(furthest=pb.ONLINE)
        return msgspec.structs.replace(self, furthest=max(self.furthest, phase))

    def failed_in(self, phase: int, reason: int) -> "Progress":
        if phase < self.failed:
            return self
        return msgspec.structs.replace(self, failed=phase, reason=reason)

    def verdict(self) -> tuple[int, int]:
        """Phase and reason of a trial that ran out of time."""
        if self.failed:
            return self.failed, self.reason
        return self.furthest, pb.TRIAL_EXPIRED


class Trial(msgspec.Struct, frozen=True):
    """A configuration on trial. Times are milliseconds of uptime; `ssid` empty: all networks are tried."""

    slot: int
    confirm_by: int
    limit_ms: int
    ssid: str = ""
    spent_ms: int = 0
    boots: int = 0
    progress: Progress = Progress()


class LastTrial(msgspec.Struct, frozen=True):
    transaction: bytes
    generation: int
    phase: int
    reason: int

    def message(self) -> pb.LastTrial:
        return pb.LastTrial(
            transaction=self.transaction,
            generation=self.generation,
            phase=pb.Phase.ValueType(self.phase),
            reason=pb.Reason.ValueType(self.reason),
        )


class _Record(msgspec.Struct, frozen=True):
    generation: int = 0  # the last one ever issued
    active: int | None = None
    trial: Trial | None = None
    failed: bytes = b""
    last_trial: LastTrial | None = None
    wifi: bytes = b""  # networks known apart from any configuration, as a ModuleConfig with nothing else

    def __repr__(self) -> str:
        return f"_Record(generation={self.generation})"


class Slots:
    """The stored configurations and the transitions between them, each safe against loss of power."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        stored = flash.read(_RECORD)
        self._record = msgspec.json.decode(stored, type=_Record) if stored else _Record()

    @property
    def is_written(self) -> bool:
        """Whether anything was ever stored here."""
        return bool(self._flash.read(_RECORD))

    @property
    def active(self) -> Configuration | None:
        return self._read(self._record.active)

    @property
    def trial(self) -> Trial | None:
        return self._record.trial

    @property
    def tried(self) -> Configuration | None:
        """The configuration on trial."""
        return self._read(self._record.trial.slot) if self._record.trial else None

    @property
    def state_name(self) -> str:
        """The state in the words of mDNS."""
        if self._record.trial is not None:
            return "trial"
        return "new" if self._record.active is None else "active"

    @property
    def failed_transaction(self) -> bytes:
        return self._record.failed

    @property
    def last_trial(self) -> LastTrial | None:
        return self._record.last_trial

    @property
    def next_generation(self) -> int:
        return self._record.generation + 1

    @property
    def wifi(self) -> list[pb.Wifi]:
        """Networks that the module knows apart from any configuration."""
        return list(pb.ModuleConfig.FromString(self._record.wifi).wifi)

    def store_wifi(self, networks: list[pb.Wifi]) -> None:
        self._flip(wifi=pb.ModuleConfig(wifi=networks).SerializeToString())

    def recover(self) -> None:
        """Erase what no record points at: a commit that was cut short, a slot not erased in time."""
        for number in range(len(_SLOTS)):
            if number not in self._used():
                self._flash.erase(_SLOTS[number])

    def commit(self, configuration: Configuration, confirm_by: int, limit_ms: int, ssid: str) -> None:
        """Put a configuration on trial beside the active one."""
        slot = 1 if self._record.active == 0 else 0
        self._flash.write(_SLOTS[slot], msgspec.json.encode(configuration))
        trial = Trial(slot, confirm_by, limit_ms, ssid)
        self._flip(generation=configuration.generation, trial=trial, last_trial=None)

    def confirm(self, phase: int) -> None:
        """Make the configuration on trial the active one."""
        trial, tried = self._on_trial()
        ended = LastTrial(tried.transaction, tried.generation, phase, pb.NONE)
        self._flip(active=trial.slot, trial=None, last_trial=ended)
        self.recover()

    def roll_back(self, phase: int, reason: int) -> None:
        """Return to the configuration before the trial, or to none."""
        _, tried = self._on_trial()
        ended = LastTrial(tried.transaction, tried.generation, phase, reason)
        self._flip(trial=None, failed=tried.transaction, last_trial=ended)
        self.recover()

    def keep_progress(self, spent_ms: int, progress: Progress) -> None:
        """Store how much of the trial is over, so that a loss of power does not lengthen it."""
        trial, _ = self._on_trial()
        self._flip(trial=msgspec.structs.replace(trial, spent_ms=spent_ms, progress=progress))

    def count_boot(self) -> None:
        """Count a boot within a trial; the fourth rolls back."""
        trial, _ = self._on_trial()
        boots = trial.boots + 1
        if boots >= LAST_BOOT_OF_A_TRIAL:
            self.roll_back(*trial.progress.verdict())
        else:
            self._flip(trial=msgspec.structs.replace(trial, boots=boots))

    def reset(self) -> None:
        """Forget every configuration and network; only the generation counter goes on."""
        self._replace_record(_Record(generation=self._record.generation))
        self.recover()

    def _on_trial(self) -> tuple[Trial, Configuration]:
        trial, tried = self.trial, self.tried
        if trial is None or tried is None:
            raise RuntimeError("no configuration is on trial")
        return trial, tried

    def _used(self) -> set[int | None]:
        return {self._record.active, self._record.trial.slot if self._record.trial else None}

    def _read(self, slot: int | None) -> Configuration | None:
        if slot is None:
            return None
        return msgspec.json.decode(self._flash.read(_SLOTS[slot]), type=Configuration)

    def _flip(self, **changes: object) -> None:
        self._replace_record(msgspec.structs.replace(self._record, **changes))

    def _replace_record(self, record: _Record) -> None:
        self._flash.write(_RECORD, msgspec.json.encode(record))
        self._record = record
