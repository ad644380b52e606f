"""What an operator asks with ucmctl, on a real daemon with real modules."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.e2e.station import BIN, HARDWARE_ID, POP, SSID, FastClock, Station, station_at, ucmctl, verified
from ucm_provision.wire import ModuleView
from ucm_site_api import SiteApi


@pytest.mark.parametrize("label", [POP, json.dumps({"ver": "v1", "name": "PROV_3C8B", "pop": POP})])
async def test_a_module_is_approved_with_the_label_that_the_operator_holds(
    station: Station, tmp_path: Path, label: str
) -> None:
    station.pops = {}
    (tmp_path / "label.txt").write_text(label + "\n")
    async with station.daemon() as running, station.module():
        held = await running.held("pop_missing", "operator")
        port = held["endpoint"].rpartition("/")[2]
        status, said = await ucmctl(station.socket, "approve", port, "--pop-file", str(tmp_path / "label.txt"))
        assert (status, POP in said) == (0, False)
        view = await running.until(verified)
        assert view["hardware_id"] == HARDWARE_ID
        status, said = await ucmctl(station.socket, "show", HARDWARE_ID[:8])
        assert status == 0
        assert " approved it." in said
        assert POP not in said
    assert POP.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())


async def test_what_was_read_from_the_label_is_known_after_a_restart(station: Station, tmp_path: Path) -> None:
    station.pops = {}
    (tmp_path / "label.txt").write_text(POP)
    async with station.module() as module:
        async with station.daemon() as running:
            held = await running.held("pop_missing", "operator")
            await ucmctl(station.socket, "approve", held["session"], "--pop-file", str(tmp_path / "label.txt"))
            first = await running.until(verified)
        async with station.daemon() as running:
            assert (await ucmctl(station.socket, "reprovision", HARDWARE_ID))[0] == 0
            await running.until(lambda view: renewed(first, view))
            assert module.active_generation == 2


async def test_a_network_that_an_operator_adds_is_what_modules_get(station: Station, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("another passphrase")
    networks = {"plant-new": "another passphrase"}
    async with station.daemon():
        status, _ = await ucmctl(
            station.socket, "wifi", "add", "plant-new", "--first", "--passphrase-file", str(tmp_path / "new.txt")
        )
        assert status == 0
    async with station.daemon() as running, station.module(networks=networks):
        view = await running.until(verified)
        assert (view["evidence"] or {})["ssid"] == "plant-new"
        _, said = await ucmctl(station.socket, "status")
        assert f"plant-new, {SSID}" in said


async def test_a_label_that_is_none_is_refused_without_being_repeated(station: Station, tmp_path: Path) -> None:
    station.pops = {}
    async with station.daemon() as running, station.module():
        view = await running.held("pop_missing", "operator")
        for text in ("", "two\nlines of a secret", '{"pop": ', '{"pop": 5}', "secret" * 100):
            (tmp_path / "label.txt").write_text(text)
            status, said = await ucmctl(
                station.socket, "approve", view["session"], "--pop-file", str(tmp_path / "label.txt")
            )
            assert status == 2
            assert said.startswith("REQUEST_INVALID")
            assert "secret" not in said


async def test_a_module_that_waits_for_its_back_off_goes_on_when_told_to(station: Station) -> None:
    right = station.api_url
    station.api_url = "http://127.0.0.1:9"  # discard: nobody listens there
    async with station.module():
        async with station.daemon() as running:
            await running.held("api_unreachable", "retry_at")
        station.api_url = right
        async with station.daemon() as running:
            waiting = await running.until(lambda view: view["hold"] is not None)
            status, _ = await ucmctl(station.socket, "retry", waiting["session"])
            assert status == 0
            await running.until(verified)


def renewed(first: ModuleView, view: ModuleView) -> bool:
    return verified(view) and view["session"] != first["session"]


async def test_a_module_is_provisioned_anew_as_the_same_device(station: Station, site: SiteApi) -> None:
    async with station.daemon() as running, station.module() as module:
        first = await running.until(verified)
        status, _ = await ucmctl(station.socket, "reprovision", first["name"] or "")
        assert status == 0
        view = await running.until(lambda view: renewed(first, view))
        assert (view["device_id"], view["generation"], view["adopted"]) == (first["device_id"], 2, False)
        assert (view["evidence"] or {})["seen_generation"] == 2
        assert module.active_generation == 2
        assert len(await site.credentials(HARDWARE_ID)) == 2
        assert len(running.views()) == 1


async def test_an_unplugged_module_is_provisioned_anew_when_it_is_back(station: Station, tmp_path: Path) -> None:
    async with station.daemon() as running, station.module() as module:
        first = await running.until(verified)
        await module.unplug()
        await running.until(lambda view: not view["present"])
        status, _ = await ucmctl(station.socket, "reprovision", HARDWARE_ID)
        assert status == 0
        await running.held("device_gone")
        await module.plug(tmp_path / "ttyUCM7")
        view = await running.until(lambda view: renewed(first, view))
        assert (view["generation"], module.executed("commit")) == (2, 2)


async def test_a_module_of_another_box_is_taken_over_only_when_an_operator_says_so(
    station: Station, site: SiteApi, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    async with station.module() as module:
        async with station.daemon() as running:
            # Until the conversation is over, too: only then the module is free for another box.
            await running.until(lambda view: verified(view) and view["activity"] is None)
        other = station_at(site, theirs)
        config = other.configure()
        config.write_text(
            config.read_text().replace("box-under-test", "another-box").replace('"ttyUCM*"', f'"{module.link}"')
        )
        other.configure = lambda: config  # type: ignore[method-assign]
        async with other.daemon() as running:
            adopted = await running.until(verified)
            assert (adopted["managed_by"], module.executed("begin")) == ("box-under-test", 1)
            await ucmctl(other.socket, "reprovision", HARDWARE_ID)
            view = await running.until(lambda view: renewed(adopted, view))
            assert (view["managed_by"], view["device_id"]) == (None, adopted["device_id"])
            assert module.executed("begin") == 2


async def test_what_cannot_be_asked_is_told_and_changes_nothing(station: Station) -> None:
    station.pops = {}
    async with station.daemon(clock=FastClock(1.0)) as running, station.module() as module:
        view = await running.held("pop_missing", "operator")
        status, said = await ucmctl(station.socket, "reprovision", view["session"])
        assert (status, said.partition(":")[0]) == (1, "MODULE_NOT_IDENTIFIED")
        status, said = await ucmctl(station.socket, "retry", "nobody")
        assert (status, said.partition(":")[0]) == (3, "MODULE_UNKNOWN")
        assert module.executed("reserve") == 0


async def test_work_that_is_under_way_is_not_interrupted(station: Station) -> None:
    async with station.daemon() as running, station.module(baud=28_800) as module:
        view = await running.until(lambda view: view["activity"] is not None and view["activity"]["step"] == "push")
        status, said = await ucmctl(station.socket, "reprovision", view["session"])
        assert (status, said.partition(":")[0]) == (1, "MODULE_AT_WORK")
        await running.until(verified)
        assert module.executed("commit") == 1


async def test_watch_tells_what_happens_until_the_daemon_ends(station: Station) -> None:
    async with station.daemon_process() as daemon:
        async with asyncio.timeout(20):
            while await daemon.ctl("status") is None:
                pass
        watch = await asyncio.create_subprocess_exec(
            BIN / "ucmctl", "--socket", station.socket, "watch", stdout=PIPE, stderr=PIPE
        )
        assert watch.stdout is not None
        lines = []
        async with station.module():
            async with asyncio.timeout(20):
                while not lines or not lines[-1].endswith(": verified\n"):
                    lines.append((await watch.stdout.readline()).decode())
        await daemon.stop()
        _, said = await watch.communicate()
    assert [line for line in lines if ": push" in line]
    assert watch.returncode == 5
    assert said.decode().startswith("DAEMON_UNREACHABLE")


async def test_a_module_is_called_what_an_operator_says(station: Station, site: SiteApi) -> None:
    async with station.daemon() as running, station.module():
        view = await running.until(verified)
        status, said = await ucmctl(station.socket, "name", HARDWARE_ID[:8], "Boiler room")
        assert (status, "Boiler room" in said) == (0, True)
        device = await running.daemon._engine.gate.device(view["device_id"] or "")
        assert device is not None
        assert device.name == "Boiler room"
        assert (await ucmctl(station.socket, "reprovision", "Boiler room"))[0] == 0
        again = await running.until(lambda each: renewed(view, each))
        assert again["name"] == "Boiler room"
        for wrong in ("", " Boiler", "Boiler\nroom", "B" * 129):
            status, said = await ucmctl(station.socket, "name", "Boiler room", wrong)
            assert (status, "REQUEST_INVALID" in said) == (2, True)


async def test_a_module_is_left_alone_until_an_operator_wants_it_again(station: Station, tmp_path: Path) -> None:
    station.pops = {}
    (tmp_path / "label.txt").write_text(POP)
    async with station.daemon() as running, station.module():
        held = await running.held("pop_missing", "operator")
        assert (await ucmctl(station.socket, "cancel", held["session"]))[0] == 0
        assert "left alone" in (await ucmctl(station.socket, "list"))[1]
        status, said = await ucmctl(station.socket, "cancel", held["session"])
        assert (status, said.startswith("NOTHING_TO_CANCEL: ")) == (1, True)
        assert (await ucmctl(station.socket, "retry", held["session"]))[0] == 0
        anew = await running.held("pop_missing", "operator")
        assert anew["session"] != held["session"]
        label = ("--pop-file", str(tmp_path / "label.txt"), "--name", "Boiler room")
        assert (await ucmctl(station.socket, "approve", anew["session"], *label))[0] == 0
        assert (await running.until(verified))["name"] == "Boiler room"
