"""What the commands share: options that mean the same, log lines, and the way they are stopped."""

import asyncio
import signal
from collections.abc import Iterable
from datetime import datetime

import click

from ucm_sim.identity import product_names

PRODUCT = click.option("--product", type=click.Choice(product_names()), default="UCM", show_default=True)
MODEL = click.option("--model", default="ENP-RL6", show_default=True)
NETWORKS = click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="SSID=PASSPHRASE",
    help="A Wi-Fi network in reach; none given: any network will do.",
)


def print_event(sentence: str) -> None:
    """Print a log line on stderr."""
    click.echo(f"{datetime.now().astimezone():%H:%M:%S} {sentence}", err=True)


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def parse_networks(given: Iterable[str]) -> dict[str, str]:
    """Networks as SSID=PASSPHRASE; raises click.UsageError."""
    return dict(_pair(one, "--network wants SSID=PASSPHRASE") for one in given)


def parse_segments(given: Iterable[str]) -> dict[str, str]:
    """Addresses of networks as SSID=ADDRESS; raises click.UsageError."""
    return dict(_pair(one, "--segment wants SSID=ADDRESS") for one in given)


def _pair(given: str, complaint: str) -> tuple[str, str]:
    ssid, separator, value = given.partition("=")
    if not ssid or not separator:
        raise click.UsageError(complaint)
    return ssid, value
