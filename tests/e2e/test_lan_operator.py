"""What an operator decides about modules on the LAN, and what they see while the API is away."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.front import Front
from tests.e2e.lan import all_are, at_rest, counted, holding, listed, new_identity, of, on_lan, powered
from tests.e2e.station import FastClock, Station, ucmctl, verified
from ucm_sim import LanModule
from ucm_site_api import SiteApi

OFFLINE = 20


def label(module: LanModule, folder: Path) -> str:
    """The file into which the operator has typed what stands on the module's label."""
    file = folder / "label.txt"
    file.write_text(module.identity.pop + "\n")
    return str(file)


async def test_an_unlisted_module_is_spoken_to_only_once_it_is_approved(station: Station, tmp_path: Path) -> None:
    on_lan(station).policy = 'lan = "ask"'
    async with powered([new_identity()]) as (module,), station.daemon() as running:
        waiting = await running.until(of(module, holding("approval_needed")))
        status, said = await ucmctl(station.socket, "identify", waiting["session"])
        assert (status, said.partition(":")[0]) == (4, "APPROVAL_NEEDED")
        assert (module.posts, module.identify_requests) == (0, 0)
        status, said = await ucmctl(
            station.socket, "approve", waiting["session"], "--pop-file", label(module, tmp_path)
        )
        assert (status, module.identity.pop in said) == (0, False)
        await running.until(of(module, at_rest))
        status, _ = await ucmctl(station.socket, "identify", module.identity.hardware_id, "--seconds", "3")
        assert (status, module.identify_requests) == (0, 1)
    assert module.identity.pop.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())


async def test_who_is_asked_about_cables_may_let_a_module_blink_first(station: Station, tmp_path: Path) -> None:
    station.policy = 'usb = "ask"'
    async with station.module() as module, station.daemon() as running:
        waiting = await running.held("approval_needed", "operator")
        status, _ = await ucmctl(station.socket, "identify", waiting["session"])
        assert (status, module.identify_requests) == (0, 1)
        assert (module.executed("reserve"), module.executed("begin")) == (0, 0)
        status, _ = await ucmctl(station.socket, "approve", waiting["session"])
        assert status == 0
        await running.until(verified)


async def test_an_imported_manifest_lets_modules_on_the_lan_go_on(station: Station, tmp_path: Path) -> None:
    on_lan(station)
    async with powered([new_identity(), new_identity()]) as modules, station.daemon() as running:
        await all_are(running, modules, holding("approval_needed"))
        ids = {module.identity.hardware_id: module.identity.pop for module in modules}
        lines = [f"{hardware_id},LAN {hardware_id[:4]},{pop}" for hardware_id, pop in ids.items()]
        (tmp_path / "site.csv").write_text("\n".join(["hardware_id,name,pop", *lines, ""]))
        status, _ = await ucmctl(station.socket, "manifest", "import", str(tmp_path / "site.csv"))
        assert status == 0
        await all_are(running, modules, verified)
        names = {view["hardware_id"]: view["name"] for view in running.views() if view["hardware_id"] in ids}
    assert names == {hardware_id: f"LAN {hardware_id[:4]}" for hardware_id in ids}


async def test_modules_wait_visibly_while_the_api_is_away_and_go_on_by_themselves(
    station: Station, site: SiteApi, front: Front
) -> None:
    front.hangs_up = True
    async with powered(listed(on_lan(station), OFFLINE)) as modules, station.daemon(clock=FastClock(3.0)) as running:
        await all_are(running, modules, holding("api_unreachable"))
        together = front.calls
        assert together <= OFFLINE  # eight at once before the first of them has failed, and not the others after them
        await front.called(together + 1)  # and then one module tries, now and then
        status = running.daemon.status()
        assert status["paused"] is not None
        assert status["paused"]["code"] == "api_unreachable"
        _, said = await ucmctl(station.socket, "status")
        assert "API_UNREACHABLE" in said
        assert (await site.devices(), front.calls <= together + 3) == ([], True)
        front.hangs_up = False
        await all_are(running, modules, verified)
        assert (counted(modules, "commit"), len(await site.devices())) == ({1}, OFFLINE)
        assert running.daemon.status()["paused"] is None
