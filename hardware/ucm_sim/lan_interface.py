"""A module's place on the LAN: its address and port, and the segment that others see it on."""

import contextlib
import socket

from ucm_sim.lan_segment import LanSegment

# What lwIP keeps waiting for accept.
_BACKLOG = 5


class LanInterface:
    """The address and port under which a module listens whenever it is in a network.

    The port stays the module's own also while it does not listen: a bound socket keeps other programs from being
    given it meanwhile. `port` 0 takes any free one. Raises OSError where the address or port cannot be had.
    """

    def __init__(self, segment: LanSegment, address: str, port: int = 0) -> None:
        self.segment = segment
        self._held = _bound(address, port)

    @property
    def address(self) -> str:
        return str(self._held.getsockname()[0])

    @property
    def port(self) -> int:
        return int(self._held.getsockname()[1])

    def move(self, address: str, port: int) -> None:
        """Be somewhere else from the next `listen` on; raises OSError and stays where the place is taken."""
        fresh = _bound(address, port)
        self._held.close()
        self._held = fresh

    def listen(self) -> socket.socket:
        """Return a new listening socket."""
        listening = _bound(self.address, self.port)
        listening.listen(_BACKLOG)
        return listening

    def close(self) -> None:
        """Give the port back."""
        self._held.close()


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as undo:
        bound = socket.socket(family, socket.SOCK_STREAM)
        undo.callback(bound.close)
        bound.setblocking(False)
        # Lets the listening socket beside the one that holds the port, and nobody beside the listening one.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        undo.pop_all()
        return bound
