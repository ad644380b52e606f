"""Do the names of the API and of the broker resolve?"""

from __future__ import annotations

import ipaddress
import json
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from ucm_provision.core import policy
from ucm_provision.core.errors import Code
from ucm_provision.doctor.box import Box
from ucm_provision.doctor.finding import Finding, ok, problem

_CHECK = "dns"
# A name server that is there answers within a second; the system's resolver may ask three of them, 5 s each.
_DEADLINE = 6.0


@dataclass(frozen=True, slots=True)
class Lookup:
    """What came of a name: addresses, or a reason why there are none."""

    host: str
    addresses: tuple[str, ...] = ()
    failure: str = ""


def check(box: Box) -> Iterator[Finding]:
    names = {"provisioning API": api_host(box), "broker": broker_host(box)}
    asked = {whose: host for whose, host in names.items() if host and not is_address(host)}
    if not asked:
        yield ok(_CHECK, "No name has to be resolved.")
    for whose, host in asked.items():
        yield judge(whose, resolve(host))


def api_host(box: Box) -> str:
    """The host of the provisioning API; empty while none is known."""
    try:
        return urlsplit(api_url(box)).hostname or ""
    except ValueError:  # no URL, as the check of the API says
        return ""


def api_url(box: Box) -> str:
    """Where the API is: as the running daemon says, else as the configuration does; empty while none is known."""
    if box.status:
        return box.status["api"]["url"]
    url = box.settings.values.api.url
    return "" if box.unsettled or url == "gateway" else url


def broker_host(box: Box) -> str:
    """The broker that the configuration or the witness's file names; empty: neither, or it may not be read."""
    if box.settings.values.override.mqtt_host:
        return box.settings.values.override.mqtt_host
    try:
        with box.settings.file(box.settings.values.broker.witness).open("rb") as stream:
            host = json.loads(stream.read(policy.WITNESS_FILE_LARGEST))["mqtt_host"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return host if isinstance(host, str) else ""


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@cache
def resolve(host: str) -> Lookup:
    """Asks the system's resolver, which has no deadline of its own: on a thread that nobody has to wait for."""
    answers: queue.SimpleQueue[Lookup] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_ask(host)), name=f"resolving {host}", daemon=True).start()
    try:
        return answers.get(timeout=_DEADLINE)
    except queue.Empty:
        return Lookup(host, failure=f"no name server has answered in {_DEADLINE:g} s")


def _ask(host: str) -> Lookup:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Lookup(host, failure=getattr(error, "strerror", None) or "it is no host name")
    return Lookup(host, tuple(dict.fromkeys(str(address[0]) for *_, address in found)))


def judge(whose: str, lookup: Lookup) -> Finding:
    if lookup.addresses:
        return ok(_CHECK, f"{lookup.host} ({whose}) is {', '.join(lookup.addresses)}.")
    return problem(
        _CHECK,
        f"{lookup.host}, the name of the {whose}, does not resolve: {lookup.failure}.",
        "Which name servers are asked: cat /etc/resolv.conf. Is the network up: ip -brief address",
        code=Code.API_UNREACHABLE if whose == "provisioning API" else Code.BROKER_DNS_FAILED,
    )
