"""A day with the page: real Chromium, on a laptop and on a phone, at the demo with its two difficult modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.page.browser import PHONE, Visit, chromium, visit
from tests.page.demonstration import Demonstration, demonstration
from tests.page.wire import Wire, wire_to

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

VERIFIED = {
    "Electrolyser 1": "verified",
    "Cooling loop": "verified",
    "Dryer 1": "verified",
    "Gas sensors": "weak signal",
}
NAME = "<script>alert(1)</script>"


async def test_a_day_with_the_page(tmp_path: Path) -> None:
    async with demonstration(tmp_path / "demo", "--more") as demo, wire_to(demo.url) as wire, chromium() as browser:
        address = wire.url + "#" + demo.invitation.partition("#")[2]
        async with (
            visit(browser, address) as laptop,
            visit(browser, demo.url, viewport=PHONE, color_scheme="dark", has_touch=True, is_mobile=True) as phone,
        ):
            await sees_four_become_verified(laptop)
            await sees_four_become_verified(phone)
            await approves_and_names_the_fifth(laptop, demo)
            await retries_the_sixth(laptop)
            await makes_one_blink(laptop)
            await reads_on_the_phone_and_is_asked_to_sign_in(phone)
            await changes_the_wifi_and_watches(laptop, phone, demo)
            await downloads_the_report(laptop)
            await names_one_like_a_script(laptop, phone, demo)
            await loses_and_regains_the_connection(laptop, wire)
            assert (phone.complaints, phone.elsewhere, laptop.elsewhere) == ([], [], [])


async def sees_four_become_verified(visitor: Visit) -> None:
    for name, how in VERIFIED.items():
        row = visitor.row(name)
        await expect(row.locator(".pill")).to_have_text(how)
        await expect(row.get_by_role("img")).to_have_attribute("aria-label", "All five steps done")
    await visitor.demand_accessible("modules")


async def approves_and_names_the_fifth(laptop: Visit, demo: Demonstration) -> None:
    page, (hardware_id, proof) = laptop.page, demo.label()
    row = page.locator("li.row").filter(has=page.get_by_title(hardware_id))
    await expect(row.locator(".pill")).to_have_text("needs approval")
    await row.get_by_role("button", name="Approve").click()
    await page.get_by_label("Name").fill("Storage tank")
    await page.get_by_label("Proof of possession").fill(proof)
    await laptop.demand_accessible("approval")
    assert proof not in await page.content()
    await page.get_by_role("button", name="Approve", exact=True).click()
    named = laptop.row("Storage tank")
    await expect(named.locator(".pill")).to_have_text("weak signal")
    assert json.loads(await demo.ctl("show", "Storage tank", "--json"))["module"]["slug"] == "storage-tank"
    assert "page:" in await demo.ctl("show", "Storage tank")


async def retries_the_sixth(laptop: Visit) -> None:
    row = laptop.row("Battery room")
    await expect(row.locator(".told")).to_contain_text("knows this hardware id elsewhere")
    await row.get_by_role("link", name="What to do").click()
    help_text = laptop.page.get_by_role("dialog", name="API conflict")
    await expect(help_text).to_contain_text("Remove the device there")
    await laptop.demand_accessible("help")
    await laptop.page.keyboard.press("Escape")
    await expect(help_text).to_have_count(0)
    await row.get_by_role("button", name="Retry").click()
    await expect(row.locator(".pill")).to_have_text("verified")


async def makes_one_blink(laptop: Visit) -> None:
    page = laptop.page
    await page.get_by_role("link", name="Dryer 1", exact=True).click()
    sheet = page.get_by_role("dialog", name="Dryer 1")
    await expect(sheet.get_by_role("heading", name="History")).to_be_visible()
    await expect(sheet).to_contain_text("The witness at the broker saw")
    await laptop.demand_accessible("a module's sheet")
    await sheet.get_by_role("button", name="Blink").click()
    await expect(page.get_by_text("Dryer 1 blinks for 15 seconds.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(sheet).to_have_count(0)


async def reads_on_the_phone_and_is_asked_to_sign_in(phone: Visit) -> None:
    page = phone.page
    await page.get_by_role("searchbox").fill("dryer")
    await expect(page.locator("li.row:visible")).to_have_count(1)
    await phone.row("Dryer 1").get_by_role("button", name="blink").tap()
    asked = page.get_by_role("dialog", name="Sign in first")
    await expect(asked).to_contain_text("ucmctl page-login")
    await phone.demand_accessible("sign-in")
    await asked.get_by_role("button", name="Cancel").tap()
    await page.get_by_role("searchbox").fill("")


async def changes_the_wifi_and_watches(laptop: Visit, phone: Visit, demo: Demonstration) -> None:
    page, passphrase = laptop.page, demo.passphrase("demo-annex")
    await page.get_by_role("link", name="Wi-Fi").click()
    await phone.page.get_by_role("link", name="Wi-Fi").tap()
    await page.get_by_role("button", name="Add network").click()
    await page.get_by_label("Name (SSID)").fill("demo-annex")
    await page.get_by_label("Passphrase", exact=True).fill(passphrase)
    await page.get_by_role("button", name="Add", exact=True).click()
    await page.get_by_role("button", name="Move the modules").click()
    form = page.get_by_role("dialog", name="Move the modules")
    await expect(form.locator(".plan")).to_contain_text("6 modules")
    await laptop.demand_accessible("moving")
    await form.get_by_role("button", name="Begin").click()
    await is_moved(page)
    await laptop.demand_accessible("Wi-Fi")
    await is_moved(phone.page)
    await phone.demand_accessible("Wi-Fi on the phone")
    assert passphrase not in await page.content()
    await page.get_by_role("link", name="Modules", exact=True).click()


async def is_moved(page: Page) -> None:
    campaign = page.get_by_role("region", name="Change to demo-annex")
    await expect(campaign.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "6 of 6 modules moved")
    await expect(campaign.locator(".squares [data-state=done]")).to_have_count(6)
    await expect(page.locator(".networks li").first).to_contain_text("demo-annex")


async def downloads_the_report(laptop: Visit) -> None:
    page = laptop.page
    await page.get_by_role("link", name="Report").click()
    await laptop.demand_accessible("report")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV").click()
    download = await downloading.value
    assert download.suggested_filename.endswith(".csv")
    text = (await download.path()).read_text()
    assert all(name in text for name in (*VERIFIED, "Storage tank", "Battery room"))
    async with page.expect_popup() as opening:
        await page.get_by_role("link", name="To read and print").click()
    report = await opening.value
    await expect(report.get_by_text("Storage tank").first).to_be_visible()
    await report.close()
    await page.keyboard.press("Escape")


async def names_one_like_a_script(laptop: Visit, phone: Visit, demo: Demonstration) -> None:
    """It is text here, there, in the sheet and in a toast, and runs nowhere."""
    page, ran = laptop.page, []
    page.on("dialog", lambda dialog: ran.append(dialog.message))
    await page.get_by_role("link", name="Dryer 1", exact=True).click()
    await page.get_by_role("button", name="Name…").click()
    await page.get_by_label("Name", exact=True).fill(NAME)
    await page.get_by_role("button", name="Save name").click()
    await expect(page.get_by_role("dialog", name=NAME)).to_be_visible()
    await expect(page.get_by_text(f"It is called {NAME} now.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(laptop.row(NAME)).to_be_visible()
    await phone.page.get_by_role("link", name="Modules", exact=True).tap()
    await expect(phone.row(NAME)).to_be_visible()
    assert NAME in await demo.ctl("list")
    assert ran == []


async def loses_and_regains_the_connection(laptop: Visit, wire: Wire) -> None:
    page = laptop.page
    await expect(page.locator("#live")).to_have_text("Live")
    assert laptop.complaints == []
    wire.cut()
    await expect(page.locator("#live")).to_have_text("Offline")
    await expect(page.locator("#lost")).to_contain_text("What you see is from")
    await laptop.demand_accessible("without a connection")
    await page.reload()  # the page itself and what it knew last are still there
    await expect(laptop.row("Electrolyser 1")).to_be_visible()
    await expect(page.locator("#live")).to_have_text("Offline")
    wire.mend()
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("#lost")).to_be_hidden()
    laptop.complaints.clear()  # of requests that failed, which they had to
    await laptop.row("Electrolyser 1").get_by_role("button", name="blink").click()
    await page.get_by_role("button", name="Blink", exact=True).click()
    await expect(page.get_by_text("Electrolyser 1 blinks for 15 seconds.")).to_be_visible()
    assert laptop.complaints == []
