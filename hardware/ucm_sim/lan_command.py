"""`ucm-sim lan`: many modules on the LAN in one process."""

import asyncio
import contextlib
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from ucm_sim import terminal
from ucm_sim.air import Air, UnknownNetworkError
from ucm_sim.control import Control
from ucm_sim.factory import WrongModuleError
from ucm_sim.flash import FlashUnreadableError
from ucm_sim.lan_fleet import LanFleet
from ucm_sim.lan_segment import LanSegment
from ucm_sim.tasks import end

_LOOPBACK = "127.0.0.1"
_SIOCGIFADDR = 0x8915  # ask the kernel for an interface's address
_MOST = 10_000
_SUMMARY_EVERY_S = 5.0
_STATES = ("new", "trial", "active")

_EXAMPLES = """
Examples:

\b
  # one new module on this machine's LAN, with its line for the daemon's manifest
  ucm-sim lan --manifest modules.csv

\b
  # a thousand that nobody outside this machine hears of
  ucm-sim lan --count 1000 --address 127.0.0.1 --manifest modules.csv --telemetry 0

\b
  # three in reach of one network, on ports 8080 to 8082, that remember their configurations between runs
  ucm-sim lan --count 3 --port 8080 --network 'plant-wifi=a passphrase' --state modules --manifest modules.csv

\b
  # two networks, each on an interface of its own, that can be switched off: ucm-sim air --control air.sock off old
  ucm-sim lan --network old=one --network new=two --segment old=192.0.2.2 --segment new=198.51.100.2 \\
    --control air.sock

The control socket takes a line of JSON for each request, for example {"do": "off", "ssid": "old"}, and answers with
{"ok": ...} or {"error": "..."}. `do` is: networks, add, on, off, passphrase, in-range, out-of-range, rssi, power-on,
power-off or modules; `ucm-sim air --help` shows them as commands.
"""


@click.command(epilog=_EXAMPLES)
@click.option("--count", type=click.IntRange(1, _MOST), default=1, show_default=True, help="How many modules.")
@click.option(
    "--address",
    help="Address of all of them; by default this machine's first IPv4 one on a LAN. IPv6 only with --no-mdns.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Of the first module; 0: any."
)
@click.option(
    "--manifest",
    "--ids-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write hardware_id, name, protocol and pop of each module to this CSV file.",
)
@click.option(
    "--protocol", type=click.Choice(["MQTT", "MQTTS"]), default="MQTTS", show_default=True, help="In the manifest."
)
@click.option(
    "--seed", default="ucm-sim", show_default=True, help="Ids and proofs of possession are made from this text."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the modules' flash; without one they forget when the command ends.",
)
@terminal.PRODUCT
@terminal.MODEL
@terminal.NETWORKS
@click.option(
    "--segment",
    "segments",
    multiple=True,
    metavar="SSID=ADDRESS",
    help="Where modules listen and announce themselves while they are in that network; --address for all others.",
)
@click.option(
    "--control",
    type=click.Path(path_type=Path),
    help="A Unix socket, made here, over which the air can be changed: see `ucm-sim air`.",
)
@click.option(
    "--telemetry",
    type=click.FloatRange(0, 86400),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="How often a module that is online publishes; 0: never.",
)
@click.option(
    "--register",
    type=click.FloatRange(0, 86400),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How often it publishes who it is; 0: once.",
)
@click.option("--boot-s", type=click.FloatRange(0, 60), default=0.2, show_default=True, metavar="SECONDS")
@click.option("--rssi", type=click.IntRange(-120, 0), default=-58, show_default=True, metavar="DBM")
@click.option(
    "--reannounce",
    type=click.FloatRange(0, 86400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How often each module announces itself again without being asked; 0: never. Its records live 120 s.",
)
@click.option("--no-mdns", is_flag=True, help="Announce nothing: whoever wants the modules must know their ports.")
@click.option("--verbose", is_flag=True, help="Print what each module does, not only how many do what.")
def lan(
    *,
    count: int,
    address: str | None,
    port: int,
    manifest: Path | None,
    protocol: str,
    seed: str,
    state: Path | None,
    product: str,
    model: str,
    networks: tuple[str, ...],
    segments: tuple[str, ...],
    control: Path | None,
    telemetry: float,
    register: float,
    boot_s: float,
    rssi: int,
    reannounce: float,
    no_mdns: bool,
    verbose: bool,
) -> None:
    """Modules on the LAN, until Ctrl-C."""
    if port + count > 65536:
        raise click.UsageError("--port leaves no room for that many modules")
    address = address or _address_on_a_lan()
    segment = LanSegment([address], reannounce_s=reannounce or None, mdns=not no_mdns)
    air = Air.of(terminal.parse_networks(networks), rssi)
    bound = _bind(air, terminal.parse_segments(segments), mdns=not no_mdns)
    fleet = LanFleet(
        count,
        segment,
        seed=seed,
        address=address,
        first_port=port,
        state=state,
        product=product,
        model=model,
        air=air,
        telemetry_every_s=telemetry,
        register_every_s=register,
        boot_s=boot_s,
        announce=terminal.print_event if verbose else _say_nothing,
    )
    _allow_many_sockets()
    try:
        if state is not None:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if manifest is not None:
            _write_privately(manifest, fleet.manifest(protocol))
        asyncio.run(_run([segment, *bound], fleet, control))
    except (FlashUnreadableError, WrongModuleError) as failure:
        raise click.ClickException(f"{failure}. Give another --state, or the --seed of the first time.") from failure
    except OSError as failure:
        raise click.ClickException(f"{failure.strerror or failure}: {failure.filename or address}") from failure


def _allow_many_sockets() -> None:
    # Each module holds two or three, together more than a shell allows by default.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _bind(air: Air, addresses: Mapping[str, str], *, mdns: bool) -> list[LanSegment]:
    """Give each network that has an address a segment there; networks of one address share it."""
    made = {address: LanSegment([address], mdns=mdns) for address in addresses.values()}
    for ssid, address in addresses.items():
        try:
            air[ssid].segment = made[address]
        except UnknownNetworkError as failure:
            raise click.UsageError(f"--segment: {failure}") from failure
    return list(made.values())


async def _run(segments: Iterable[LanSegment], fleet: LanFleet, control: Path | None) -> None:
    async with contextlib.AsyncExitStack() as running:
        for segment in segments:
            await running.enter_async_context(segment)
        await running.enter_async_context(fleet)
        if control is not None:
            await running.enter_async_context(Control(control, fleet))
        ports = [module.port for module in fleet.modules]
        where = f"{fleet.address}, port{_plural(len(ports))} {min(ports)}"
        terminal.print_event(f"ready: {_modules(len(ports))} at {where}" + (f" to {max(ports)}" * (len(ports) > 1)))
        telling = asyncio.create_task(_tell(fleet))
        await terminal.until_stopped()
        await end(telling)
    terminal.print_event("switched off")


async def _tell(fleet: LanFleet) -> None:
    """Print a summary whenever it differs from the last one."""
    told = ""
    while True:
        await asyncio.sleep(_SUMMARY_EVERY_S)
        tally = fleet.tally()
        words = ", ".join(f"{number} {word}" for word, number in sorted(tally.items(), key=_states_first))
        if words != told:
            terminal.print_event(f"{_modules(len(fleet.modules))}: {words}")
            told = words


def _states_first(item: tuple[str, int]) -> tuple[bool, str]:
    return item[0] not in _STATES, item[0]


def _modules(count: int) -> str:
    return f"{count} module{_plural(count)}"


def _plural(count: int) -> str:
    return "" if count == 1 else "s"


def _address_on_a_lan() -> str:
    """The first address of the first interface that is not the loopback; the loopback's if there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, interface in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", interface.encode()))
            except OSError:
                continue  # it has no IPv4 address
            if not (address := socket.inet_ntoa(answer[20:24])).startswith("127."):
                return address
    return _LOOPBACK


def _write_privately(path: Path, text: str) -> None:
    """Replace a file with one that only its owner reads: it holds proofs of possession."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def _say_nothing(_: str) -> None:
    pass
