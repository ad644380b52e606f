"""`ucm-sim` as a person runs it."""

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.sim.host import secured
from tests.sim.running import running
from tests.sim.sample import POP
from ucm_sim.main import main
from ucm_sim.messages import ucm_link_pb2 as pb


def is_link(path: Path) -> bool:
    return path.is_symlink()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_module_until_it_is_stopped(port: Path, number: signal.Signals) -> None:
    async with running("serial", "--link", port, "--pop", POP) as module:
        await module.says("ready")
        async with secured(port, POP) as host:
            assert len((await host.info()).hardware_id) == 32
        assert await module.end(number) == 0
        assert not is_link(port)
        assert not any(POP in line for line in module.said)


async def test_a_new_module_prints_its_label_once_and_keeps_it(port: Path) -> None:
    labels = []
    for _ in range(2):
        async with running("serial", "--link", port) as module:
            assert module.process.stdout is not None
            label = (await module.process.stdout.readline()).decode()
            assert label.startswith("proof of possession: ")
            labels.append(label.split()[-1])
            await module.says("ready")
            async with secured(port, labels[0]) as host:
                assert (await host.info()).status == pb.OK
            assert not any(labels[0] in line for line in module.said)
            await module.end(signal.SIGTERM)
    assert labels[0] == labels[1]


async def test_power_fails_after_commit(port: Path, config: pb.ModuleConfig, tmp_path: Path) -> None:
    state = tmp_path / "flash.json"
    arguments: list[str | Path] = [
        "--link",
        port,
        "--pop",
        POP,
        "--state",
        state,
        "--id",
        config.hardware_id,
        "--baud",
        "0",
    ]
    async with running("serial", *arguments) as module:
        await module.says("ready")
        async with secured(port, POP) as host:
            await host.push(config)
            assert await module.end(signal.SIGKILL) == -signal.SIGKILL
    assert mode(state) == 0o600
    # A killed process leaves its link behind: the next one replaces it.
    assert is_link(port)
    async with running("serial", *arguments, "--network", "plant-wifi=correct horse") as module:
        await module.says("got address")
        async with secured(port, POP) as host:
            info = await host.info()
            assert (info.trial.generation, info.HasField("active")) == (1, False)
        await module.end(signal.SIGTERM)
    assert not any("correct horse" in line for line in module.said)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["serial", *map(str, arguments)])


def test_help_shows_examples() -> None:
    answer = run("--help")
    assert answer.exit_code == 0
    assert "ucm-sim serial --link /tmp/ttyUCM0\n" in answer.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--link"),
        (["--network", "no-passphrase"], "--network wants SSID=PASSPHRASE"),
        (["--pop", "a", "--pop-file", __file__], "exclude each other"),
        (["--product", "TOASTER"], "TOASTER"),
        (["--baud", "fast"], "fast"),
    ],
)
def test_wrong_arguments_get_a_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    link = ["--link", str(tmp_path / "tty")] if arguments else []
    answer = run(*link, *arguments)
    assert answer.exit_code == 2
    assert sentence in answer.output
    assert "Traceback" not in answer.output


def test_an_empty_file_is_no_proof_of_possession(tmp_path: Path) -> None:
    (tmp_path / "pop").write_text("\n")
    answer = run("--link", tmp_path / "tty", "--pop-file", tmp_path / "pop")
    assert answer.exit_code == 2
    assert "is empty" in answer.output


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    answer = run("--link", tmp_path / "nowhere" / "tty", "--pop", POP)
    assert answer.exit_code == 1
    assert "No such file or directory" in answer.output
    assert not isinstance(answer.exception, OSError)


def test_a_state_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("{}")
    answer = run("--link", tmp_path / "tty", "--pop", POP, "--state", tmp_path / "state")
    assert answer.exit_code == 1
    assert "is not the state of a simulated module" in answer.output
