"""A real Chromium that is watched: what it complains about, and whom it asks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

CHROMIUM = Path("/usr/bin/chromium")
# Nothing of its own on the network; in a container it has no sandbox, and the page is ours.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# A busy machine gets its time; who waits looks again and again until then.
DEADLINE = 30_000
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

expect.set_options(timeout=DEADLINE)


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Browser]:
    if not os.path.exists(CHROMIUM):  # noqa: ASYNC240, PTH110 -- once, before anything runs
        pytest.fail("Chromium is missing. Install it first:  sudo apt-get install chromium fonts-dejavu-core")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """One page of the browser.

    Attributes:
        complaints: What it wrote to its console as an error or a warning, and what no script caught.
        elsewhere: Addresses at other origins that it asked.
    """

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def see(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")) and _origin(url) != self.origin:
            self.elsewhere.append(url)

    def row(self, name: str) -> Any:
        """The row of the module of that name."""
        return self.page.locator("li.row").filter(has=self.page.get_by_role("link", name=name, exact=True))

    async def demand_accessible(self, view: str) -> None:
        """No violation that axe finds, in this view as it is now, from top to bottom."""
        async with self._whole():
            await settled(self.page)
            found = await Axe().run(self.page, options={"runOnly": {"type": "tag", "values": _WCAG}})
        assert not found.response["violations"], f"{view}: {found.generate_report()}"

    @asynccontextmanager
    async def _whole(self) -> AsyncIterator[None]:
        """On a screen as high as the page: what is below the bar at the bottom is only not scrolled to yet."""
        size = self.page.viewport_size
        assert size is not None
        height = await self.page.evaluate("document.documentElement.scrollHeight")
        await self.page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
        try:
            yield
        finally:
            await self.page.set_viewport_size(size)


@asynccontextmanager
async def visit(browser: Browser, url: str, **options: Any) -> AsyncIterator[Visit]:
    """Opens the address in a context of its own; nothing is remembered from others."""
    context = await browser.new_context(**({"viewport": DESKTOP} | options))
    visited = Visit(await context.new_page(), _origin(url))
    visited.page.set_default_timeout(DEADLINE)
    visited.page.on("console", visited.hear)
    visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    visited.page.on("request", lambda request: visited.see(request.url))
    await visited.page.goto(url)
    try:
        yield visited
    finally:
        await context.close()


# But those without an end; and one that is cut short is over, too.
SETTLED = """Promise.all(document.getAnimations()
  .filter((each) => each.effect.getComputedTiming().iterations !== Infinity)
  .map((each) => each.finished.catch(() => null)))"""


async def settled(page: Page) -> None:
    """Colours that are still on their way have no contrast of their own."""
    await page.evaluate(SETTLED)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
