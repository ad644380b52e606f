"""A site whose modules are verified in one Wi-Fi, and whose air has another one to move them to."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.e2e.lan import at_rest, listed, on_lan, powered
from tests.e2e.station import PASSPHRASE, SSID, FastClock, Running, Station, ucmctl
from tests.mosquitto.harness import MosquittoProcess
from ucm_provision.wire import CampaignView, ModuleView
from ucm_sim import Air, Identity, LanModule, LanSegment, Network, ScaledClock

OLD, NEW = SSID, "plant-2026"
NEW_PASSPHRASE = "staple battery horse"
# How much faster than the wall's the clocks of daemon and modules are. A trial leaves 6 s to a busy machine.
FAST = 10.0
TRIAL = 60
# How long an announcement is believed, in seconds of the wall's.
ANNOUNCED = 120
PATIENCE = 60.0


@dataclass
class Moving:
    """A running daemon and its modules; ``air`` has the networks."""

    station: Station
    running: Running
    modules: list[LanModule]
    air: Air
    clock: FastClock

    async def change(self, *arguments: str, ssid: str = NEW) -> tuple[int, CampaignView]:
        """``ucmctl wifi change``, which ends when nobody is under way any more: its exit status and the campaign."""
        return await campaign_of(self.station, "change", "--ssid", ssid, *arguments)

    async def begin(self, *arguments: str, ssid: str = NEW) -> CampaignView:
        """A campaign from when nobody is under way any more: sooner than the command would notice."""
        await campaign_of(self.station, "change", "--ssid", ssid, "--no-wait", *arguments)
        return await until_campaign(self.station, lambda campaign: campaign["idle"])

    async def campaign(self, *arguments: str) -> tuple[int, CampaignView]:
        """``ucmctl wifi`` with a command that answers with a campaign."""
        return await campaign_of(self.station, *arguments)

    def views(self) -> dict[str, ModuleView]:
        """The present view of each module, by hardware id."""
        ids = {module.identity.hardware_id for module in self.modules}  # others may be on this machine's loopback
        return {view["hardware_id"]: view for view in self.running.views() if view["hardware_id"] in ids}

    def devices(self) -> dict[str, str | None]:
        return {hardware_id: view["device_id"] for hardware_id, view in self.views().items()}


async def campaign_of(station: Station, *arguments: str) -> tuple[int, CampaignView]:
    status, said = await ucmctl(station.socket, "wifi", *arguments, "--json")
    assert said.startswith("{"), said
    campaign: CampaignView = json.loads(said)
    return status, campaign


async def until_campaign(station: Station, condition: Callable[[CampaignView], bool]) -> CampaignView:
    """The latest campaign once it is so. Asks like an operator would, again and again, also while nobody answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, said = await ucmctl(station.socket, "wifi", "campaigns", "--json")
            campaigns: list[CampaignView] = json.loads(said)["campaigns"] if status == 0 else []
            if campaigns and condition(campaigns[-1]):
                return campaigns[-1]


def ended(campaign: CampaignView) -> bool:
    return campaign["state"] != "running"


def begun(campaign: CampaignView) -> bool:
    """The canary is under way, and nobody else."""
    return campaign["counts"].get("running", 0) == 1


def half_done(campaign: CampaignView) -> bool:
    """Somewhere in the middle."""
    return campaign["counts"].get("done", 0) > len(campaign["members"]) // 3


def two_networks(passphrase: str = NEW_PASSPHRASE) -> Air:
    return Air([Network(OLD, PASSPHRASE), Network(NEW, passphrase)])


@asynccontextmanager
async def moving(
    station: Station, count: int, *, air: Air | None = None, besides: Iterable[Identity] = (), fast: float = FAST
) -> AsyncIterator[Moving]:
    """Verified in the old network, and the operators know the new one. ``besides``: others that the box expects."""
    clock, air = FastClock(fast), air or two_networks()
    identities = expected(station, count)
    station.pops |= {each.hardware_id: each.pop for each in besides}
    options = {"air": air, "clock": ScaledClock(fast), "telemetry_every_s": 0.0}
    # The daemon's clock ends the announcements' time, too.
    segment = LanSegment(ttl_s=int(ANNOUNCED * fast))
    async with powered(identities, segment, **options) as modules, station.daemon(clock=clock) as running:
        await each_is(running, modules, at_rest)
        await know_the_new_network(station)
        yield Moving(station, running, modules, air, clock)


def expected(station: Station, count: int) -> list[Identity]:
    """New modules of the station; every other one shows the broker a password instead of a certificate."""
    identities = listed(on_lan(station), count)
    station.trial_s, station.protocols = TRIAL, {each.hardware_id: "MQTT" for each in identities[::2]}
    return identities


async def know_the_new_network(station: Station) -> None:
    (station.folder / "new-passphrase").write_text(NEW_PASSPHRASE)
    file = str(station.folder / "new-passphrase")
    status, said = await ucmctl(station.socket, "wifi", "add", NEW, "--passphrase-file", file)
    assert status == 0, said


async def each_is(running: Running, modules: Iterable[LanModule], condition: Callable[[ModuleView], bool]) -> None:
    """Waits until each module has met the condition, now or later. Looks at nothing but what changes."""
    waited_for = {module.identity.hardware_id for module in modules}
    async with asyncio.timeout(PATIENCE):
        with running.daemon.feed.listen() as changes:
            waited_for -= {view["hardware_id"] for view in running.views() if condition(view)}
            while waited_for:
                view = await changes.next()
                if condition(view) and view["hardware_id"]:
                    waited_for.discard(view["hardware_id"])


def networks_of(modules: Iterable[LanModule]) -> Counter[tuple[str, str]]:
    """In which network how many modules are, and how far each has come there."""
    return Counter((module.ssid, module.phase_name) for module in modules)


def commits(modules: Iterable[LanModule]) -> list[int]:
    """How often each module was written to, the first time included; least first."""
    return sorted(module.executed("commit") for module in modules)


def evidence(views: Iterable[ModuleView]) -> Counter[str]:
    """In which network how many modules were verified."""
    return Counter((view["evidence"] or {"ssid": ""})["ssid"] for view in views)


def refusals(mosquitto: MosquittoProcess) -> list[str]:
    """The lines in which mosquitto tells of a certificate, or a password, that it did not take."""
    signs = ("certificate verify failed", "not authorised")
    # The first to be let in is the site API; before it only the harness has knocked.
    since = itertools.dropwhile(lambda line: "New client connected" not in line, mosquitto.log)
    return [line for line in since if any(sign in line for sign in signs)]
