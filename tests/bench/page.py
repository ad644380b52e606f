"""The page with a thousand modules: how soon the first of them are seen, and how soon a change is."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.bench.result import Result
from tests.page.browser import chromium, visit
from ucm_provision import app
from ucm_provision.app import Daemon
from ucm_provision.core.events import ArgumentsFixed, DeviceAdded, Event, Identified, Identity, Seen, Verified
from ucm_provision.core.kinds import Kind
from ucm_provision.core.machine import Session, evolve
from ucm_provision.core.model import (
    Carrier,
    Endpoint,
    Evidence,
    MqttProtocol,
    Phase,
    Product,
    ProvisionArguments,
    Source,
    lan_key,
)
from ucm_provision.host import config
from ucm_provision.store.journal import Journal

MODULES = 1000
VISITS = 5
CHANGES = 40
FIRST_CONTENT_AT_MOST = 1.0
UPDATE_AT_MOST = 0.25

# When the first rows were drawn, in seconds after the navigation began: once the picture with them is on its way.
FIRST_ROWS = """new Promise((resolve) => {
  const look = () => {
    const row = document.querySelector("li.row");
    if (row && row.getBoundingClientRect().height > 0) setTimeout(() => resolve(performance.now() / 1000), 0);
    else requestAnimationFrame(look);
  };
  look();
})"""
# When a module's row said that, by the clock that Python has, too. The row is one and the same, wherever it moves.
SHOWN = """({ key, text }) => new Promise((resolve) => {
  const doing = document.querySelector(`a[href="#/module/${key}"]`).closest("li").querySelector(".doing");
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const look = () => {
    if (doing.textContent.startsWith(text)) setTimeout(() => resolve(now()), 0);
    else requestAnimationFrame(look);
  };
  look();
})"""
ALL_ROWS = f"() => document.querySelectorAll('li.row').length === {MODULES}"


async def measure(folder: Path) -> list[Result]:
    async with site_of_many(folder) as daemon, chromium() as browser:
        url = daemon.places[0].urls(tuple)[0]
        firsts = [await _first_rows(browser, url) for _ in range(VISITS)]
        delays = await _delays(browser, url, daemon)
    told = f"{VISITS} visits {min(firsts):.2f} to {max(firsts):.2f} s, nothing in the browser's cache"
    first = Result("page, first modules of 1,000 seen (s)", told, statistics.median(firsts), FIRST_CONTENT_AT_MOST)
    spread = f"{CHANGES} changes, median {1000 * statistics.median(delays):.0f} ms, worst {1000 * max(delays):.0f} ms"
    worst = sorted(delays)[-1 - CHANGES // 20]
    return [first, Result("page, a change seen, 19 of 20 within (s)", spread, worst, UPDATE_AT_MOST)]


async def _first_rows(browser: Browser, url: str) -> float:
    async with visit(browser, url) as visitor:
        seconds: float = await visitor.page.evaluate(FIRST_ROWS)
        return seconds


async def _delays(browser: Browser, url: str, daemon: Daemon) -> list[float]:
    async with visit(browser, url) as visitor:
        await visitor.page.wait_for_function(ALL_ROWS)
        sessions = daemon.record.sessions()
        chosen = [sessions[each * MODULES // CHANGES] for each in range(CHANGES)]
        return [await _delay(visitor.page, daemon, session, f"{number} %") for number, session in enumerate(chosen)]


async def _delay(page: Page, daemon: Daemon, session: Session, text: str) -> float:
    """From the event in the daemon to the picture with it."""
    seen = asyncio.create_task(page.evaluate(SHOWN, {"key": session.hardware_id, "text": text}))
    await page.evaluate("0")  # whoever looks for it has begun by now
    told = time.time()
    daemon.record.busy(session.id, "push", text)
    shown: float = await seen
    daemon.record.idle(session.id)
    return shown - told


# ---- a site of many ------------------------------------------------------------------------------


@asynccontextmanager
async def site_of_many(folder: Path) -> AsyncIterator[Daemon]:
    """A daemon that has verified a thousand modules before it was started."""
    await _fill(folder / "state")
    async with site_without_modules(folder) as daemon:
        yield daemon


@asynccontextmanager
async def site_without_modules(folder: Path) -> AsyncIterator[Daemon]:
    """A daemon with a page, which looks for modules nowhere."""
    (folder / "token").write_text("a token of nobody")
    path = folder / "ucm-provision.toml"
    path.write_text(
        '[box]\nid = "plant-box"\n[site]\nid = "site-1"\n[api]\nurl = "http://127.0.0.1:9"\ntoken_file = "token"\n'
        '[usb]\nudev = false\n[lan]\nmdns = false\n[control]\nsocket = "control.sock"\n'
        '[web]\nlisten = "127.0.0.1:0"\n[state]\ndir = "state"\n'
    )
    async with app.start(config.load(path)) as daemon, asyncio.TaskGroup() as group:
        running = group.create_task(daemon.run())
        yield daemon
        running.cancel()


async def _fill(state: Path) -> None:
    journal = await Journal.open(state / "journal.sqlite3")
    try:
        for number in range(MODULES):
            await _live(journal, number)
    finally:
        await journal.close()


async def _live(journal: Journal, number: int) -> None:
    session: Session | None = None
    at = time.time() - 86400.0 + number
    for event in _life(number, at):
        session = evolve(session, event, session_id=f"{number:012x}", at=at)
        await journal.append(session, event, at)


def _life(number: int, at: float) -> list[Event]:
    hardware_id = f"{number:032X}"
    endpoint = Endpoint(Carrier.HTTP, f"ucm-{hardware_id}", lan_key(hardware_id), ())
    arguments = ProvisionArguments(Kind.UCM, hardware_id, "site-1", f"Tank {number}", MqttProtocol.MQTTS)
    seen_what = f"a message on v1/from/{hardware_id}/ucm/v1/register"
    evidence = Evidence(1, Phase.ONLINE, at, -50 - number % 35, "plant", Source.WITNESS, seen_what, 1, at)
    return [
        Seen(endpoint, hardware_id),
        Identified(Identity(hardware_id, Product.UCM, "ENP-RL6", "2.4.1")),
        ArgumentsFixed(arguments),
        DeviceAdded(f"device-{number}", f"tank-{number}", "http://127.0.0.1:9"),
        Verified(evidence),
    ]
