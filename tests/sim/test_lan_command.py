"""`ucm-sim lan` as a person runs it."""

import csv
import json
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.sim.host import Secured
from tests.sim.lan_host import LanHost, Socket, lan_secured
from tests.sim.running import Running, running
from ucm_sim.lan_command import _address_on_a_lan, lan
from ucm_sim.messages import ucm_link_pb2 as pb

HERE = ["--address", "127.0.0.1", "--boot-s", "0", "--verbose"]


async def ports_of(modules: Running) -> tuple[int, int]:
    """The first and the last port, once one of the modules listens."""
    await modules.says("ready: ")
    first, _, last = modules.said[-1].rpartition("port")[2].strip("s \n").partition(" to ")
    await modules.says("listening at 127.0.0.1:")
    return int(first), int(last or first)


def labels_in(manifest: Path) -> dict[str, str]:
    """The proof of possession of each hardware id."""
    with manifest.open() as lines:
        return {row["hardware_id"]: row["pop"] for row in csv.DictReader(lines)}


async def id_at(port: int) -> str:
    async with await Socket.open(port) as socket:
        answer = json.loads(await LanHost(socket).call("proto-ver", b"-"))
    return str(answer["ucm"]["id"])


async def test_three_modules_with_their_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "modules.csv"
    async with running("lan", "--count", 3, "--manifest", manifest, *HERE) as modules:
        first, last = await ports_of(modules)
        assert first < last
        await modules.says("listening")
        await modules.says("listening")
        labels = labels_in(manifest)
        assert len(labels) == 3
        for port in (first, last):
            async with lan_secured(port, labels[await id_at(port)]) as host:
                assert (await host.info()).hardware_id in labels
        assert await modules.end(signal.SIGTERM) == 0
    assert manifest.stat().st_mode & 0o777 == 0o600
    assert manifest.read_text().startswith("hardware_id,name,protocol,pop\n")
    assert not any(label in line for label in labels.values() for line in modules.said)


async def test_the_manifest_is_the_same_every_time_and_for_each_seed_another(tmp_path: Path) -> None:
    texts = []
    for number, seed in enumerate(["site-a", "site-a", "site-b"]):
        manifest = tmp_path / f"{number}.csv"
        async with running("lan", "--manifest", manifest, "--no-mdns", "--seed", seed, *HERE) as module:
            await ports_of(module)
            await module.end(signal.SIGINT)
        texts.append(manifest.read_text())
    assert texts[0] == texts[1] != texts[2]


async def test_a_configuration_outlives_the_command_with_a_state(tmp_path: Path, config: pb.ModuleConfig) -> None:
    manifest = tmp_path / "modules.csv"
    arguments = ["lan", "--manifest", manifest, "--no-mdns", "--state", tmp_path / "state", *HERE]
    for trial in (0, 1):
        async with running(*arguments) as module:
            port, _ = await ports_of(module)
            config.hardware_id, pop = labels_in(manifest).popitem()
            async with lan_secured(port, pop) as host:
                assert (await host.info()).trial.generation == trial
                if not trial:
                    await Secured.push(host, config)
            assert await module.end(signal.SIGKILL) == -signal.SIGKILL
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def test_a_summary_says_how_many_do_what() -> None:
    async with running("lan", "--count", 2, "--no-mdns", "--address", "127.0.0.1") as modules:
        await modules.says("ready: 2 modules")
        await modules.says("2 modules: 2 new, 2 IDLE")
        assert await modules.end(signal.SIGTERM) == 0
    assert len(modules.said) == 2


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(lan, list(map(str, arguments)))


def test_help_shows_examples() -> None:
    answer = run("--help")
    assert answer.exit_code == 0
    assert "ucm-sim lan --count 1000 " in answer.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--network", "no-passphrase"], "--network wants SSID=PASSPHRASE"),
        (["--count", "0"], "--count"),
        (["--port", "65530", "--count", "10"], "no room"),
        (["--product", "TOASTER"], "TOASTER"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments: list[str], sentence: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert sentence in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("mdns", [[], ["--no-mdns"]])
def test_an_address_that_this_machine_does_not_have(mdns: list[str]) -> None:
    answer = run("--address", "192.0.2.250", *mdns)
    assert answer.exit_code == 1
    assert "192.0.2.250" in answer.output
    assert not isinstance(answer.exception, OSError)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = run("--no-mdns", "--address", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    assert answer.exit_code == 1
    assert "Address already in use" in answer.output


def test_flash_of_something_else(tmp_path: Path) -> None:
    manifest = tmp_path / "modules.csv"
    run("--no-mdns", "--address", "192.0.2.250", "--manifest", manifest)
    ((hardware_id, _),) = labels_in(manifest).items()
    (tmp_path / f"{hardware_id}.json").write_text("{}")
    answer = run("--no-mdns", "--address", "127.0.0.1", "--state", tmp_path)
    assert answer.exit_code == 1
    assert "is not the state of a simulated module" in answer.output


def test_by_default_it_is_at_an_address_of_this_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as here:
        here.bind((_address_on_a_lan(), 0))
