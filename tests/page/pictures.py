"""`make screenshots`: every view of the page, light and dark, on a laptop and on a phone, from the running demo.

`python -m tests.page.pictures docs/pictures`
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.bench.page import site_without_modules
from tests.page.browser import DESKTOP, PHONE, chromium, settled, visit
from tests.page.demonstration import Demonstration, demonstration
from tests.page.wire import Wire, wire_to

QUALITY = 0.7
# PNG is what a browser's pictures come as; a canvas makes WebP of it, a fifth of the size.
AS_WEBP = """async ({ png, quality }) => {
  const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  const webp = await canvas.convertToBlob({ type: "image/webp", quality });
  const bytes = new Uint8Array(await webp.arrayBuffer());
  return btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join(""));
}"""


@dataclass(frozen=True)
class Look:
    """A way of looking at the page."""

    name: str
    options: dict[str, Any]


LOOKS = [
    Look(f"{device}-{scheme}", {**options, "color_scheme": scheme})
    for device, options in (
        ("desktop", {"viewport": DESKTOP}),
        ("phone", {"viewport": PHONE, "device_scale_factor": 1.5, "is_mobile": True, "has_touch": True}),
    )
    for scheme in ("light", "dark")
]


class Studio:
    """The page in every look at once. What is done is done in each; then pictures are taken."""

    def __init__(self, folder: Path, converter: Page, pages: dict[str, Page]) -> None:
        self._folder = folder
        self._converter = converter
        self._pages = pages

    @property
    def pages(self) -> Sequence[Page]:
        return list(self._pages.values())

    async def each(self, act: Callable[[Page], Awaitable[object]]) -> None:
        await asyncio.gather(*(act(page) for page in self.pages))

    async def take(self, view: str, ready: Callable[[Page], Awaitable[object]] | None = None) -> None:
        """``ready``: sees to it that there is something to see; for what is over before the last picture is taken."""
        for look, page in self._pages.items():
            if ready:
                await ready(page)
            await self._take(page, self._folder / f"{view}-{look}.webp")

    async def _take(self, page: Page, path: Path) -> None:
        await settled(page)
        png = base64.b64encode(await page.screenshot()).decode()
        webp = await self._converter.evaluate(AS_WEBP, {"png": png, "quality": QUALITY})
        await asyncio.to_thread(path.write_bytes, base64.b64decode(webp))


@asynccontextmanager
async def studio(browser: Browser, folder: Path, urls: Sequence[str]) -> AsyncIterator[Studio]:
    async with AsyncExitStack() as stack:
        converter = await stack.enter_async_context(visit(browser, "about:blank"))
        visits = [
            await stack.enter_async_context(visit(browser, url, **look.options))
            for look, url in zip(LOOKS, urls, strict=True)
        ]
        yield Studio(folder, converter.page, {look.name: each.page for look, each in zip(LOOKS, visits, strict=True)})


async def main(folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        async with chromium() as browser:
            await _nothing_yet(browser, folder, Path(scratch) / "empty")
            async with demonstration(Path(scratch) / "demo", "--more") as demo, wire_to(demo.url) as wire:
                urls = [wire.url + "#" + (await _invitation(demo)).partition("#")[2] for _ in LOOKS]
                async with studio(browser, folder, [wire.url] * len(LOOKS)) as visitors:
                    await _sign_in(visitors)
                async with studio(browser, folder, urls) as operators:
                    await _modules(operators, demo)
                    await _wifi(operators, demo)
                    await _trouble(operators, demo, wire)


async def _invitation(demo: Demonstration) -> str:
    url: str = json.loads(await demo.ctl("page-login", "--json"))["urls"][0]
    return url


async def _nothing_yet(browser: Browser, folder: Path, scratch: Path) -> None:
    await asyncio.to_thread(scratch.mkdir)
    async with site_without_modules(scratch) as daemon:
        url = daemon.places[0].urls(tuple)[0]
        async with studio(browser, folder, [url] * len(LOOKS)) as visitors:
            await visitors.each(lambda page: expect(page.get_by_role("heading", name="No modules yet")).to_be_visible())
            await visitors.take("empty")


async def _sign_in(visitors: Studio) -> None:
    async def ask(page: Page) -> None:
        await page.get_by_role("button", name="Sign in").click()

    await visitors.each(ask)
    await visitors.take("sign-in")


async def _modules(operators: Studio, demo: Demonstration) -> None:
    await operators.each(lambda page: expect(page.locator(".pill", has_text="verified")).to_have_count(3))
    await operators.each(lambda page: expect(page.get_by_text("Signed in as root.")).to_have_count(0))
    await operators.take("modules")
    await operators.each(_open_approval)
    await operators.take("approve")
    await operators.each(lambda page: page.get_by_role("button", name="Cancel").click())
    first = operators.pages[0]
    await first.get_by_role("button", name="Approve").click()
    await first.get_by_label("Name").fill("Storage tank")
    await first.get_by_label("Proof of possession").fill(demo.label()[1])
    await first.get_by_role("button", name="Approve", exact=True).click()
    await expect(first.locator(".pill", has_text="weak signal").first).to_be_visible()
    await _sheets(operators)

    async def at_work(page: Page) -> None:
        await expect(page.locator("[data-state=doing]")).to_have_count(0)
        for name in ("Cooling loop", "Electrolyser 1"):  # on cables: they take their time
            await demo.ctl("reprovision", name)
        await page.evaluate("document.activeElement.blur()")
        await page.mouse.move(0, 0)
        await expect(page.locator("[data-state=doing]").nth(1)).to_be_visible()

    await operators.take("at-work", at_work)
    await operators.each(lambda page: expect(page.locator("[data-state=doing]")).to_have_count(0))


async def _open_approval(page: Page) -> None:
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_label("Name").fill("Storage tank")


async def _sheets(operators: Studio) -> None:
    for view, place in (("module", "Storage tank"), ("module-waits", "Battery room")):
        await operators.each(lambda page, place=place: page.get_by_role("link", name=place, exact=True).click())
        await operators.each(lambda page: expect(page.locator(".history li").first).to_be_visible())
        await operators.take(view)
        await operators.each(_escape)
    for view, link in (("help", "#/help/api-conflict"), ("report", "#/report")):
        await operators.each(lambda page, link=link: page.evaluate("(link) => { location.hash = link; }", link))
        await operators.each(lambda page: expect(page.get_by_role("dialog")).to_be_visible())
        await operators.take(view)
        await operators.each(_escape)


async def _escape(page: Page) -> None:
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def _wifi(operators: Studio, demo: Demonstration) -> None:
    first = operators.pages[0]
    await operators.each(lambda page: page.get_by_role("link", name="Wi-Fi").click())
    await first.get_by_role("button", name="Add network").click()
    await first.get_by_label("Name (SSID)").fill("demo-annex")
    await first.get_by_label("Passphrase", exact=True).fill(demo.passphrase("demo-annex"))
    await first.get_by_role("button", name="Add", exact=True).click()
    await expect(first.locator(".networks li")).to_have_count(2)
    await operators.each(_look_again)
    await operators.each(lambda page: page.get_by_role("button", name="Move the modules").click())
    await operators.each(lambda page: expect(page.locator(".plan strong")).to_be_visible())
    await operators.take("move")
    await operators.each(_escape)
    await demo.ctl("wifi", "change", "--ssid", "demo-annex", "--wave", "1", "--no-wait")
    await operators.each(lambda page: expect(page.locator(".squares [data-state=done]")).to_have_count(2))
    await operators.take("wifi")
    await expect(first.locator(".squares [data-state=done]")).to_have_count(5)


async def _look_again(page: Page) -> None:
    """The list of networks is asked for when it is looked at."""
    await page.get_by_role("link", name="Modules", exact=True).click()
    await page.get_by_role("link", name="Wi-Fi").click()
    await expect(page.locator(".networks li")).to_have_count(2)


async def _trouble(operators: Studio, demo: Demonstration, wire: Wire) -> None:
    await operators.each(lambda page: page.get_by_role("link", name="Modules", exact=True).click())
    token = demo.folder / "site-api" / "api-token"
    right = await asyncio.to_thread(token.read_text)
    await asyncio.to_thread(token.write_text, "a token of nobody\n")
    await demo.ctl("reprovision", "Dryer 1")
    await operators.each(lambda page: expect(page.locator("#paused")).to_be_visible())
    await operators.take("paused")
    await asyncio.to_thread(token.write_text, right)
    wire.cut()
    await operators.each(lambda page: expect(page.locator("#lost")).to_be_visible())
    await operators.take("no-connection")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
