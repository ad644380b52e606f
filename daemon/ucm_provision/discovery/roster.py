"""Which announced instances are listened to at all. This is what bounds everything behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ucm_provision.core import policy
from ucm_provision.discovery import records
from ucm_provision.discovery.records import AnnouncementError

IsKnown = Callable[[str], bool]


@dataclass(slots=True)
class Instance:
    """A service instance that is listened to.

    Attributes:
        name: The full name in lower case.
        label: The name without the service, as it was announced.
        service: ``records.MODULES`` or ``records.GATEWAYS``.
        hardware_id: Empty for a Gateway.
        known: Whether somebody counts on it, so that it never makes room.
        host: What its last SRV record names, in lower case.
        expires: When its PTR record does, on the monotonic clock.
        tries: How often it was asked for what its announcement lacks.
        asked: Whether it is being asked, or waits for its turn.
    """

    name: str
    label: str
    service: str
    hardware_id: str = ""
    known: bool = False
    host: str = ""
    expires: float = 0.0
    tries: int = 0
    asked: bool = False


class Roster:
    """The instances that are listened to, by full name in lower case.

    Modules that are known always get in. Of others only so many do, and only so many new ones between
    two calls of :meth:`renew`; whoever came first stays. So a flood pushes nobody out.
    """

    def __init__(self, is_known: IsKnown) -> None:
        self._is_known = is_known
        self._instances: dict[str, Instance] = {}
        self._on_host: dict[str, set[str]] = {}
        self._unknown = 0
        self._gateways = 0
        self._newcomers = 0

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._instances.values())

    def __contains__(self, name: str) -> bool:
        return name in self._instances

    def get(self, name: str) -> Instance | None:
        return self._instances.get(name)

    def on_host(self, host: str) -> Collection[str]:
        """The names of those that said that they are on that host."""
        return self._on_host.get(host, ())

    def admit(self, alias: str, service: str) -> Instance:
        """The instance that a PTR record of ``service`` names.

        Raises:
            AnnouncementError: the name is none that the service has, or there are too many already.
        """
        name = alias.lower()
        known = self._instances.get(name)
        return known or self._newcomer(name, alias, service)

    def settle(self, name: str, host: str) -> None:
        """Its SRV record names that host."""
        instance = self._instances[name]
        if instance.host != host:
            self._leave_host(instance)
            instance.host = host
            self._on_host.setdefault(host, set()).add(name)

    def forget(self, instance: Instance) -> None:
        del self._instances[instance.name]
        self._leave_host(instance)
        self._unknown -= bool(instance.hardware_id) and not instance.known
        self._gateways -= not instance.hardware_id

    @property
    def is_worn(self) -> bool:
        """Whether no unknown module gets in any more until :meth:`renew`."""
        return self._newcomers >= policy.MDNS_NEWCOMERS

    def renew(self) -> None:
        """Counts newcomers from nothing."""
        self._newcomers = 0

    def tidy(self) -> None:
        """Looks again who is known by now."""
        for instance in self._instances.values():
            if instance.hardware_id and not instance.known and self._is_known(instance.hardware_id):
                instance.known = True
                self._unknown -= 1

    def _newcomer(self, name: str, alias: str, service: str) -> Instance:
        label = alias[: -len(service) - 1]
        if not name.endswith(f".{service}") or not label:
            raise AnnouncementError("the name is not one of the service")
        instance = Instance(name, label, service)
        if service == records.MODULES:
            self._admit_module(instance)
        else:
            self._admit_gateway()
        self._instances[name] = instance
        return instance

    def _admit_module(self, instance: Instance) -> None:
        instance.hardware_id = records.hardware_id_of(instance.label)
        instance.known = self._is_known(instance.hardware_id)
        if instance.known:
            return
        if self._unknown >= policy.MDNS_UNKNOWN_KEPT or self.is_worn:
            raise AnnouncementError("there are too many unknown modules")
        self._unknown += 1
        self._newcomers += 1

    def _admit_gateway(self) -> None:
        if self._gateways >= policy.MDNS_GATEWAYS_KEPT or self.is_worn:
            raise AnnouncementError("there are too many Gateways")
        self._gateways += 1
        self._newcomers += 1

    def _leave_host(self, instance: Instance) -> None:
        others = self._on_host.get(instance.host, set())
        others.discard(instance.name)
        if not others:
            self._on_host.pop(instance.host, None)
