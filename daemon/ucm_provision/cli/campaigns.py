"""ucmctl wifi change, campaigns, pause, resume, abort: many modules to another network, a few first."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import click

from ucm_provision.cli.client import ControlClient
from ucm_provision.cli.screen import screen
from ucm_provision.cli.text import campaign_text, plan_text, progress_text
from ucm_provision.core.errors import Exit
from ucm_provision.wire import CampaignView

_json = click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer as JSON.")
_campaign = click.argument("campaign", default="latest")
# How often progress is asked for, in seconds.
_EVERY = 1.0
_GOES_ON = (
    "The campaign goes on without this command. ucmctl wifi campaigns shows how far it is, ucmctl wifi pause stops it, "
    "ucmctl wifi abort ends it."
)
# As a shell says of a command that Ctrl-C ended.
_INTERRUPTED = 130
# Seen so often in a row: the daemon has had its time to begin the next ones.
_IDLE_ENOUGH = 3


@click.command()
@click.option("--ssid", required=True, help="The network; ucmctl wifi add makes it known first.")
@click.option("--stage", "kind", flag_value="stage", help="Only put it beside the modules' present networks.")
@click.option("--drop", "kind", flag_value="drop", help="Take it away from the modules.")
@click.option("--canary", type=click.IntRange(1, 100), default=1, show_default=True, help="How many go first, alone.")
@click.option("--wave", type=click.IntRange(1, 100), default=10, show_default=True, help="How many go at a time then.")
@click.option("--max-failures", type=click.IntRange(0), default=2, show_default=True, help="More of them: it pauses.")
@click.option("--dry-run", is_flag=True, help="Only say which modules, and which cannot be reached now.")
@click.option("--no-wait", is_flag=True, help="Do not show progress; the campaign goes on by itself anyway.")
@_json
@click.pass_obj
def change(
    client: ControlClient,
    *,
    ssid: str,
    kind: str | None,
    canary: int,
    wave: int,
    max_failures: int,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Moves the site's modules to the network SSID: one module first, then the others in waves.

    Each module falls back to its old network by itself if the new one does not take it. The recommended way is
    three commands: --stage the new network beside the old one, change to it, then --drop the old one.

    Example: ucmctl wifi change --ssid plant-2026 --dry-run
    """
    body = {"kind": kind or "change", "ssid": ssid, "canary": canary, "wave": wave, "max_failures": max_failures}
    answer = client.post("campaigns", body=body | {"dry_run": dry_run})
    if dry_run:
        _print(answer, plan_text, as_json=as_json)
    elif no_wait:
        _print(answer["campaign"], campaign_text, as_json=as_json)
    else:
        _follow(client, answer["campaign"], as_json=as_json)


@click.command()
@_json
@click.pass_obj
def campaigns(client: ControlClient, *, as_json: bool) -> None:
    """Every campaign and what came of it.

    Example: ucmctl wifi campaigns
    """
    answer = client.get("campaigns")
    texts = [campaign_text(each) for each in answer["campaigns"]]
    click.echo(json.dumps(answer, indent=2) if as_json else "\n\n".join(texts) or "No campaigns yet.")


@click.command()
@_campaign
@_json
@click.pass_obj
def pause(client: ControlClient, campaign: str, *, as_json: bool) -> None:
    """No further module begins; those under way finish.

    Example: ucmctl wifi pause
    """
    _print(client.post("campaigns", campaign, "pause")["campaign"], campaign_text, as_json=as_json)


@click.command()
@_campaign
@_json
@click.pass_obj
def resume(client: ControlClient, campaign: str, *, as_json: bool) -> None:
    """Goes on after a pause, or begins what was proposed, and shows the progress.

    Example: ucmctl wifi resume
    """
    _follow(client, client.post("campaigns", campaign, "resume")["campaign"], as_json=as_json)


@click.command()
@_campaign
@_json
@click.pass_obj
def abort(client: ControlClient, campaign: str, *, as_json: bool) -> None:
    """Ends a campaign. Modules under way finish by themselves; the others stay as they are.

    Example: ucmctl wifi abort
    """
    _print(client.post("campaigns", campaign, "abort")["campaign"], campaign_text, as_json=as_json)


COMMANDS = (change, campaigns, pause, resume, abort)


def _follow(client: ControlClient, campaign: CampaignView, *, as_json: bool) -> None:
    """Shows the progress until nobody is under way. Ctrl-C ends only the showing."""
    picture = None if as_json else screen()
    try:
        with picture.campaign() if picture else _Lines(silent=as_json) as shown:
            for now in _progress(client, campaign):
                shown.show(now)
                campaign = now
    except KeyboardInterrupt:
        click.echo(_GOES_ON, err=True)
        sys.exit(_INTERRUPTED)
    _print(campaign, campaign_text, as_json=as_json)
    sys.exit(Exit.OPERATOR if campaign["counts"].get("failed") or campaign["state"] == "paused" else 0)


def _progress(client: ControlClient, campaign: CampaignView) -> Iterator[CampaignView]:
    """The campaign again and again, the last time when nobody is under way any more."""
    idle = 0
    yield campaign
    while campaign["state"] == "running" and idle < _IDLE_ENOUGH:
        time.sleep(_EVERY)
        campaign = client.get("campaigns", campaign["id"])["campaign"]
        idle = idle + 1 if campaign["idle"] else 0
        yield campaign


class _Lines:
    """A line for each change, where there is no terminal."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, campaign: CampaignView) -> None:
        text = progress_text(campaign)
        if text != self._shown and not self._silent:
            click.echo(text, err=True)
        self._shown = text


def _print(answer: Any, text: Callable[[Any], str], *, as_json: bool) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else text(answer))
