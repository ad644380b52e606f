"""`ucm-sim`: simulated modules for people without hardware on the desk."""

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path

import click

from ucm_sim import terminal
from ucm_sim.air_command import air
from ucm_sim.factory import WrongModuleError
from ucm_sim.flash import FlashUnreadableError
from ucm_sim.identity import Identity
from ucm_sim.lan_command import lan
from ucm_sim.serial_module import SerialModule

_EXAMPLES = """
Examples:

\b
  # a new module on a serial port, with a proof of possession of its own
  ucm-sim serial --link /tmp/ttyUCM0

\b
  # one that resets when its port is opened, in reach of one network
  ucm-sim serial --link /tmp/ttyUCM1 --reset-on-open --network 'plant-wifi=a passphrase'

\b
  # an electrolyser that remembers its configuration between runs
  ucm-sim serial --link /tmp/ttyUCM2 --product ELECTROLYSER --model EL4.1 --state el.json --pop-file el.pop
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ucm-provisiond")
def main() -> None:
    """Simulated UCM modules: the device link, a real connection to the broker, and a flash that survives."""


@main.command(epilog=_EXAMPLES)
@click.option(
    "--link",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the serial port appears, a symbolic link.",
)
@click.option("--id", "hardware_id", help="Hardware id; by default made from the link's path.")
@click.option("--pop", help="Proof of possession; by default one is made and printed.")
@click.option(
    "--pop-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the proof of possession from a file.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The module's flash; by default beside the link.",
)
@terminal.PRODUCT
@terminal.MODEL
@terminal.NETWORKS
@click.option("--baud", type=click.IntRange(min=0), default=115200, show_default=True, help="0: no speed limit.")
@click.option("--reset-on-open", is_flag=True, help="Reset when a program opens the port.")
@click.option("--boot-s", type=click.FloatRange(0, 60), default=0.2, show_default=True, metavar="SECONDS")
@click.option("--rssi", type=click.IntRange(-120, 0), default=-58, show_default=True, metavar="DBM")
def serial(
    *,
    link: Path,
    hardware_id: str | None,
    pop: str | None,
    pop_file: Path | None,
    state: Path | None,
    product: str,
    model: str,
    networks: tuple[str, ...],
    baud: int,
    reset_on_open: bool,
    boot_s: float,
    rssi: int,
) -> None:
    """A module on a serial port, until Ctrl-C."""
    state = state or link.with_name(f"{link.name}.state.json")
    identity = Identity(
        hardware_id=hardware_id.upper() if hardware_id else _stable_id(link),
        pop=_proof_of_possession(pop, pop_file) or _label_of(state),
        product=product,
        model=model,
    )
    try:
        module = SerialModule(
            identity,
            state,
            link,
            baud=baud,
            reset_on_open=reset_on_open,
            boot_s=boot_s,
            networks=terminal.parse_networks(networks),
            rssi_dbm=rssi,
            announce=terminal.print_event,
        )
        asyncio.run(_run(module))
    except (FlashUnreadableError, WrongModuleError) as failure:
        raise click.ClickException(f"{failure}. Give another --state, or remove that file.") from failure
    except OSError as failure:
        raise click.ClickException(f"{failure.strerror}: {failure.filename or link}") from failure


async def _run(module: SerialModule) -> None:
    async with module:
        terminal.print_event(f"plugged in: {module.link}")
        await terminal.until_stopped()
    terminal.print_event("unplugged")


def _stable_id(link: Path) -> str:
    """The same id for the same link at every start, in the form of a hardware UCM's."""
    return hashlib.sha256(str(link.absolute()).encode()).hexdigest()[:32].upper()


def _proof_of_possession(given: str | None, file: Path | None) -> str | None:
    if given and file:
        raise click.UsageError("--pop and --pop-file exclude each other")
    if file:
        given = file.read_text().strip()
        if not given:
            raise click.UsageError(f"{file} is empty")
    return given


def _label_of(state: Path) -> str:
    """Print the module's label, which stays the same as long as its flash does."""
    label = state.with_name(f"{state.name}.label")
    if not (label.exists() and state.exists()):
        label.touch(mode=0o600)
        label.write_text(secrets.token_hex(6) + "\n")
    pop = label.read_text().strip()
    # On stdout, like a label on the housing: the log on stderr never holds it.
    click.echo(f"proof of possession: {pop}")
    return pop


main.add_command(lan)
main.add_command(air)


if __name__ == "__main__":
    sys.exit(main())
