"""`make demo`: the main job, on a machine that has nothing but Python."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from ucm_demo.plant import OTHER_SSID, Plant, plant, plug_in, prepare
from ucm_demo.progress import LiveTable, PlainLines, Progress, Silence
from ucm_demo.summary import is_verified, result, summary_lines, write_report
from ucm_provision.cli.client import ControlClient
from ucm_provision.host import logs
from ucm_provision.wire import ModuleView, PageInvitation

# Each module takes about ten seconds; a busy machine gets its time, a stuck demo comes to an end.
DEADLINE = 150.0


async def demonstrate(folder: Path, *, more: bool, as_json: bool, stay: bool) -> int:
    """Runs the demo; returns its exit status: 0 when every module that needs nobody was verified."""
    console = Console()
    async with plant(folder, more=more) as site, asyncio.TaskGroup() as group:
        running = group.create_task(site.daemon.run())
        if not as_json:
            console.print(_greeting(site, await _invited(site)), highlight=False, markup=False, soft_wrap=True)
        started = time.monotonic()
        async with plug_in(site):
            with _progress(console, as_json=as_json) as progress:
                await _until_settled(site, progress)
            views, seconds = site.views(), time.monotonic() - started
            report = await write_report(site)
            _tell(console, site, views, seconds, report, as_json=as_json)
            if stay:
                await _stay(console, site)
        running.cancel()
    needs_nobody = {module.hardware_id for module in site.modules if module.needs_nobody}
    return 0 if needs_nobody <= {view["hardware_id"] for view in views if is_verified(view)} else 1


async def _invited(site: Plant) -> str:
    """An address that signs one browser in to the page, as ucmctl page-login gets it."""
    client = ControlClient(str(site.folder / "control.sock"))
    invitation: PageInvitation = await asyncio.to_thread(client.post, "page", "login")
    return invitation["urls"][0]


def _greeting(site: Plant, page: str) -> str:
    return (
        f"Watch it on the page, where this address signs you in, once:\n\n  {page}\n\n"
        f"A site in {site.folder}: provisioning API at {site.site.url}, an MQTT broker with TLS on port "
        f"{site.site.mqtts_port}, and {len(site.modules)} modules, on serial ports and on the LAN. The daemon's log "
        f"is in {site.folder / 'daemon.log'}.\n"
    )


def _progress(console: Console, *, as_json: bool) -> Progress:
    if as_json:
        return Silence()
    return LiveTable(console) if console.is_terminal else PlainLines(console)


async def _until_settled(site: Plant, progress: Progress) -> None:
    """Until every module is verified or waits for a person, or the time is over."""
    try:
        async with asyncio.timeout(DEADLINE):
            with site.daemon.feed.listen() as changes:
                modules = {view["session"]: view for view in site.views()}
                async for view in changes:
                    modules = _current(modules, view) if site.is_ours(view) else modules
                    progress.show(modules)
                    if len(modules) == len(site.modules) and all(map(_settled, modules.values())):
                        return
    except TimeoutError:
        return


def _current(modules: dict[str, ModuleView], view: ModuleView) -> dict[str, ModuleView]:
    """The modules after a change, without sessions that went up in another."""
    modules = modules | {view["session"]: view}
    return {session: each for session, each in modules.items() if each["milestone"] != "CANCELLED"}


def _settled(view: ModuleView) -> bool:
    waits_for_person = view["hold"] is not None and view["hold"]["waits"] == "operator"
    return is_verified(view) or waits_for_person


def _tell(
    console: Console, site: Plant, views: list[ModuleView], seconds: float, report: Path, *, as_json: bool
) -> None:
    expected = len(site.modules)
    if as_json:
        click.echo(json.dumps(result(views, expected, seconds, report), indent=2))
        return
    console.print()
    for line in summary_lines(views, expected, report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


async def _stay(console: Console, site: Plant) -> None:
    console.print(_parting(site), highlight=False, markup=False, soft_wrap=True)
    await asyncio.Event().wait()


def _parting(site: Plant) -> str:
    ctl = f".venv/bin/ucmctl --socket {site.folder / 'control.sock'}"
    lines = [
        "",
        f"The site stays up until Ctrl-C, with its page at {site.page}; sign in again with:  {ctl} page-login",
        f"The modules hear a second Wi-Fi, {OTHER_SSID}; its passphrase is in {site.folder / OTHER_SSID}.passphrase",
    ]
    if any(not module.listed for module in site.modules):
        lines.append(f"What stands on the label of the module that waits for approval is in {site.labels}")
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print nothing but the result, as JSON.")
@click.option("--more", is_flag=True, help="Two more modules: one waits for your approval, one fails once.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
def command(*, as_json: bool, more: bool, folder: Path) -> None:
    """A whole site in one process: API, broker, four simulated modules, and the daemon that provisions them.

    It stays up until Ctrl-C when standard input is a terminal; otherwise it exits, 0 when all were verified.
    """
    prepare(folder)
    with (folder / "daemon.log").open("w", encoding="utf-8") as log:
        logs.configure("info", log)
        stay = sys.stdin.isatty() and not as_json
        try:
            status = asyncio.run(demonstrate(folder, more=more, as_json=as_json, stay=stay))
        except KeyboardInterrupt:
            status = 0
    sys.exit(status)


def main() -> None:
    command()
