"""The daemon's vital signs in Prometheus' text format. Imported when somebody asks for them first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ucm_provision.control.metrics import BoxSigns
from ucm_provision.engine.vital_signs import VitalSigns

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_PREFIX = "ucm_provision_"


def expose(engine: VitalSigns, box: BoxSigns) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Signs(engine, box))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


@dataclass
class _Signs(Collector):
    """Every metric of ours, at one moment. No label ever names a module: a site of a thousand has as many series."""

    engine: VitalSigns
    box: BoxSigns

    def __hash__(self) -> int:
        return id(self)

    def collect(self) -> Iterator[Metric]:
        yield from _of_modules(self.engine)
        yield from _of_the_site(self.engine)
        yield from _of_the_box(self.box)


def _of_modules(signs: VitalSigns) -> Iterator[Metric]:
    yield _by("modules", "Modules by how far they have come.", "milestone", signs.modules)
    waiting = _gauge("modules_waiting", "Modules that wait, by what for (operator: a person) and why.", "waits", "code")
    for (waits, code), count in signs.waiting.items():
        waiting.add_metric([waits, code], count)
    yield waiting
    yield _by("modules_unwell", "Verified modules that a later look found no longer well.", "code", signs.unwell)
    yield _one("modules_outdated", "Modules that hold other Wi-Fi networks than the site's.", signs.outdated)
    yield _one("candidates", "Modules on the LAN that nobody has approved.", signs.candidates)
    yield _by("endpoints", "Ports and announced modules that are there now.", "carrier", signs.endpoints)
    yield _by("sessions_under_way", "Modules that are being worked on, by step.", "step", signs.under_way)
    failures = CounterMetricFamily(f"{_PREFIX}session_failures", "Attempts that failed, by code.", labels=["code"])
    for code, count in signs.failures.items():
        failures.add_metric([code], count)
    yield failures
    if signs.certificate_ends_at is not None:
        help_ = "When the first of the modules' certificates ends."
        yield _one("certificate_earliest_end_timestamp_seconds", help_, signs.certificate_ends_at)


def _of_the_site(signs: VitalSigns) -> Iterator[Metric]:
    yield _one("api_up", "Whether the last call reached the provisioning API.", signs.api_up)
    paused = {signs.paused: 1} if signs.paused else {}
    yield _by("paused", "1 with the code of what keeps every module waiting; absent otherwise.", "code", paused)
    yield _by("orders", "What was asked of the API by hand, by state.", "state", signs.orders)
    if campaign := signs.campaign:
        info = _gauge("campaign_open", "1 while a campaign is open, with its kind and state.", "kind", "state")
        info.add_metric([campaign.kind, campaign.state], 1)
        yield info
        yield _by("campaign_members", "Members of the open campaign by state.", "state", campaign.members)


def _of_the_box(box: BoxSigns) -> Iterator[Metric]:
    info = _gauge("build_info", "1, with the daemon's version.", "version")
    info.add_metric([box.version], 1)
    yield info
    yield _one("journal_bytes", "Size of the journal on disk.", box.journal_bytes)
    yield _one("state_free_bytes", "What could still be written in the state folder.", box.free_bytes)
    yield _one("event_loop_lag_seconds", "The worst delay of the event loop in the last minute.", box.loop_lag)
    yield _one("clock_synchronized", "Whether the wall clock is disciplined.", box.clock_synchronized)
    if box.witness_up is not None:
        yield _one("witness_up", "Whether the witness is connected to the broker.", box.witness_up)
    if box.fleet_up is not None:
        yield _one("fleet_up", "Whether the fleet's broker is connected.", box.fleet_up)
        dropped = CounterMetricFamily(f"{_PREFIX}fleet_dropped_events", "Events that the fleet never got.")
        dropped.add_metric([], box.fleet_dropped)
        yield dropped


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}{name}", documentation, labels=labels)


def _one(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", documentation, value=value)


def _by(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = _gauge(name, documentation, label)
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
