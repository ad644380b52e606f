"""Who does not belong there gets nothing done: other pages, other names, used invitations. Real Chromium."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from tests.page.browser import chromium, visit
from tests.page.demonstration import Demonstration, demonstration

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

# As a form would send it, with the header of our own page, and as a script would without thinking.
ATTACK = """async ({ target, body }) => {
  const post = (more) => fetch(target, { method: "POST", credentials: "include", body, ...more })
    .then((answer) => answer.status, () => "refused");
  return [await post({ mode: "no-cors" }), await post({ headers: { "X-UCM-Page": "1" } }), await post({})];
}"""
READ = """(target) => fetch(target, { credentials: "include" }).then((answer) => answer.text(), () => "refused")"""


async def test_pages_from_elsewhere_and_used_invitations_do_nothing(tmp_path: Path) -> None:
    async with demonstration(tmp_path / "demo") as demo, elsewhere() as port:
        rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        async with chromium(rules) as browser, visit(browser, demo.invitation) as operator:
            await expect(operator.page.get_by_text("Signed in as")).to_have_count(2)  # at the top, and in a toast
            await expect(operator.row("Electrolyser 1")).to_be_visible()
            # In the operator's own browser, where the cookie is: another host, the same host at another port.
            for host in ("evil.example", "localhost", "127.0.0.1"):
                page = await operator.page.context.new_page()
                await page.goto(f"http://{host}:{port}/")
                await attacks_in_vain(page, demo)
                await page.close()
            await is_not_found_under_another_name(operator.page, demo)
            assert await by_whom(demo) == [], "nobody but the box has done anything"
            async with visit(browser, demo.invitation) as late:
                await expect(late.page.get_by_text("This sign-in was used already")).to_be_visible()
                await expect(late.page.locator("#who")).to_have_text("Sign in")
                assert "sign-in=" not in late.page.url


async def attacks_in_vain(page: Page, demo: Demonstration) -> None:
    target = f"{demo.url}v1/modules/Electrolyser%201/reprovision"
    answers = await page.evaluate(ATTACK, {"target": target, "body": "{}"})
    assert set(answers) <= {0, "refused"}, answers  # 0: sent, and the answer kept from the page that asked
    assert "Electrolyser" not in await page.evaluate(READ, f"{demo.url}v1/modules")


async def is_not_found_under_another_name(page: Page, demo: Demonstration) -> None:
    """A name from outside that leads here: to the browser the page would be its own."""
    rebound = await page.context.new_page()
    answer = await rebound.goto(demo.url.replace("127.0.0.1", "evil.example"))
    assert answer is not None
    assert answer.status == 403
    assert (await answer.json())["error"]["code"] == "origin_refused"
    await rebound.close()


async def by_whom(demo: Demonstration) -> list[str]:
    shown = json.loads(await demo.ctl("show", "Electrolyser 1", "--json"))
    return [entry["text"] for entry in shown["timeline"] if "page:" in entry["text"]]


@asynccontextmanager
async def elsewhere() -> AsyncIterator[int]:
    """Somebody else's web server on this machine."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Elsewhere</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
