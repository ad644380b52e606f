"""A module's place on the LAN: its address and port, and the segment that others see it on."""

import contextlib
import errno
import socket

from ucm_sim.lan_segment import LanSegment

# What lwIP keeps waiting for accept.
_BACKLOG = 5


class LanInterface:
    """The address and port under which a module listens whenever it is in a network.

    At home, in `segment`, they are as given; in another segment it has that one's address, and the same port if it is
    free there. A port stays the module's own also while it does not listen: a bound socket keeps other programs from
    being given it meanwhile. `port` 0 takes any free one. Raises OSError where the address or port cannot be had.
    """

    def __init__(self, segment: LanSegment, address: str, port: int = 0) -> None:
        self._home = self.segment = segment
        self._held = {segment: _bound(address, port)}

    @property
    def address(self) -> str:
        return str(self._held[self.segment].getsockname()[0])

    @property
    def port(self) -> int:
        return int(self._held[self.segment].getsockname()[1])

    def enter(self, segment: LanSegment | None) -> None:
        """Be in a segment from the next `listen` on, None: at home; raises OSError and stays where it is."""
        entered = segment or self._home
        if entered not in self._held:
            self._held[entered] = _bound_preferably(entered.address, self.port)
        self.segment = entered

    def move(self, address: str, port: int) -> None:
        """Be elsewhere in this segment from the next `listen` on; raises OSError and stays where that is taken."""
        fresh = _bound(address, port)
        self._held[self.segment].close()
        self._held[self.segment] = fresh

    def listen(self) -> socket.socket:
        """Return a new listening socket."""
        listening = _bound(self.address, self.port)
        listening.listen(_BACKLOG)
        return listening

    def close(self) -> None:
        """Give the ports back."""
        for held in self._held.values():
            held.close()


def _bound_preferably(address: str, port: int) -> socket.socket:
    try:
        return _bound(address, port)
    except OSError as failure:
        if failure.errno != errno.EADDRINUSE:
            raise
        return _bound(address, 0)


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
