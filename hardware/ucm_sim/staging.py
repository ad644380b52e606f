"""The configuration that is being received. Lives in RAM: a reboot drops it."""

import hashlib
from dataclasses import dataclass, field

from ucm_sim.messages import ucm_link_pb2 as pb

LARGEST = 16 * 1024  # a slot's size


@dataclass(slots=True)
class Staging:
    """One transfer: `total` bytes with the digest `sha256`, received from the front."""

    transaction: bytes
    total: int
    sha256: bytes
    received: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def next_offset(self) -> int:
        return len(self.received)

    @property
    def is_complete(self) -> bool:
        return self.next_offset == self.total

    @property
    def is_intact(self) -> bool:
        return hashlib.sha256(self.received).digest() == self.sha256

    def accept(self, offset: int, payload: bytes) -> None:
        """Append what of the payload is new; the caller has ruled out gaps and overruns."""
        self.received += payload[self.next_offset - offset :]

    def message(self) -> pb.Staged:
        return pb.Staged(transaction=self.transaction, total=self.total, next_offset=self.next_offset)
