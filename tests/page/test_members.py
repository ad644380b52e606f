"""The page on the LAN: nothing before the sign-in, everything after it. Real Chromium, real TLS."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.station import HARDWARE_ID, POP, Running, Station, site_settings, station_at, ucmctl
from tests.page.browser import PHONE, Visit, chromium, visit
from ucm_site_api import SiteApi

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

OTHER = "0F4D7A1BB1E24C6AA2A59CA8D3E7F310"
MISTAKEN = "1A4D7A1BB1E24C6AA2A59CA8D3E7F311"


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    """Two modules that wait for an operator's yes, and one with a slip in the manifest; a page on the LAN."""
    async with SiteApi(site_settings(tmp_path)) as site:
        station = station_at(site, tmp_path)
        station.pops = {HARDWARE_ID: POP, OTHER: POP, MISTAKEN: "another label"}
        station.policy = 'usb = "ask"'
        station.web = 'listen = "0.0.0.0:0"'
        yield station


async def invitation(station: Station, running: Running) -> str:
    _, out = await ucmctl(station.socket, "page-login", "--json")
    token = json.loads(out)["urls"][0].partition("#")[2]
    return f"https://127.0.0.1:{running.daemon.places[0].port}/#{token}"


async def test_a_phone_on_the_lan_is_signed_in_and_approves_many_at_once(station: Station) -> None:
    async with (
        station.daemon() as running,
        station.module(0),
        station.module(1, hardware_id=OTHER),
        station.module(2, hardware_id=MISTAKEN),
        chromium() as browser,
        visit(browser, f"https://127.0.0.1:{running.daemon.places[0].port}/", ignore_https_errors=True) as stranger,
        visit(browser, await invitation(station, running), ignore_https_errors=True, viewport=PHONE) as member,
    ):
        await sees_nothing(stranger)
        await approves_all(member.page)
        await two_are_verified_and_one_had_another_label(member.page)
        await signs_in_by_hand(stranger, await invitation(station, running))
        await two_are_verified_and_one_had_another_label(stranger.page)
        await leaves_one_alone_and_begins_again(stranger.page, running)
        await enters_the_label(stranger.page)
        await signs_out(member)
        assert (stranger.elsewhere, member.elsewhere) == ([], [])


async def sees_nothing(stranger: Visit) -> None:
    await expect(stranger.page.get_by_role("heading", name="Sign in to see the modules")).to_be_visible()
    await expect(stranger.page.locator("#content")).to_be_hidden()
    assert HARDWARE_ID not in await stranger.page.content()
    await stranger.demand_accessible("locked")


async def approves_all(page: Page) -> None:
    await page.get_by_role("button", name="Approve all 2").click()
    form = page.get_by_role("dialog", name="Approve 2 modules")
    await expect(form.get_by_role("checkbox")).to_have_count(2)
    await form.get_by_role("button", name="Approve those").click()
    await expect(form).to_have_count(0)


async def two_are_verified_and_one_had_another_label(page: Page) -> None:
    await expect(page.locator(".pill", has_text="verified")).to_have_count(2)
    waits = re.compile("tries again|needs its label")  # three tries, then it is for a person
    await expect(page.locator(".pill", has_text=waits)).to_have_count(1)


async def signs_in_by_hand(stranger: Visit, url: str) -> None:
    page = stranger.page
    await page.get_by_role("button", name="I have an address").click()
    await page.get_by_label("Address or token").fill("nonsense")
    await page.get_by_role("button", name="Sign in", exact=True).last.click()
    await expect(page.get_by_role("alert")).to_contain_text("ucmctl page-login makes a new one")
    await page.get_by_label("Address or token").fill(url)
    await page.get_by_role("button", name="Sign in", exact=True).last.click()


async def leaves_one_alone_and_begins_again(page: Page, running: Running) -> None:
    await page.locator("li.row").filter(has=page.get_by_title(MISTAKEN)).get_by_role("link").first.click()
    sheet = page.get_by_role("dialog").first
    await sheet.get_by_role("button", name="Leave alone").click()
    await page.get_by_role("button", name="Leave alone", exact=True).click()
    await expect(sheet.locator(".pill")).to_have_text("left alone")
    await running.until(lambda view: (view["left_alone_by"] or "").startswith("page:"))
    await sheet.get_by_role("button", name="Begin again").click()
    await expect(page.locator(".pill", has_text="left alone")).to_have_count(0)


async def enters_the_label(page: Page) -> None:
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Enter label").click()
    await page.get_by_label("Proof of possession").fill(POP)
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.locator(".pill", has_text="verified")).to_have_count(3)


async def signs_out(member: Visit) -> None:
    await member.page.get_by_role("button", name="sign out").click()
    await expect(member.page.get_by_role("heading", name="Sign in to see the modules")).to_be_visible()
    assert HARDWARE_ID not in await member.page.content()
