"""One guest for all tests here: it boots once, the package is installed once, and each test leaves it as it was."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import pytest

from tests.vm.box import Box
from tests.vm.machine.guest import Guest, booted
from tests.vm.packages import built
from tests.vm.site import Plant, running_plant
from tests.vm.usb.hub import Hub

_IMAGE = Path(__file__).parents[2] / ".vm"
_MEASURED: dict[str, str] = {}
_HAS_FAILED = pytest.StashKey[bool]()

# By what they do to the machine: first what must find it untouched, last what takes the package away.
_ORDER = (
    "test_first_plug",
    "test_adapters",
    "test_sandbox",
    "test_interruptions",
    "test_bad_input",
    "test_reboot",
    "test_restarts",
    "test_package",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _ORDER.index(item.path.stem))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MEASURED:
        terminalreporter.section("measured in the guest")
    for what, value in _MEASURED.items():
        terminalreporter.write_line(f"{what}: {value}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
async def evidence(request: pytest.FixtureRequest, guest: Guest) -> AsyncIterator[None]:
    """Of a test that fails, what the guest has to say is printed with it."""
    yield
    if request.node.stash.get(_HAS_FAILED, False):
        print(await guest.last_words())


@pytest.fixture
def measured() -> Callable[[str, str], None]:
    """Notes a measurement, which is printed at the end."""
    return _MEASURED.__setitem__


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is /mnt/share in the guest."""
    return tmp_path_factory.mktemp("share")


@pytest.fixture(scope="session")
async def plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plant]:
    async with running_plant(tmp_path_factory.mktemp("plant")) as plant:
        yield plant


@pytest.fixture(scope="session")
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


@pytest.fixture(scope="session")
async def guest(plant: Plant, hub: Hub, share: Path) -> AsyncIterator[Guest]:
    """The booted machine, without the package."""
    if not (_IMAGE / "root.img").exists():
        pytest.fail(f"there is no image of the guest in {_IMAGE}: make test-vm")
    async with booted(_IMAGE, ports=[*plant.ports, hub.port], share=share) as guest:
        yield guest


@pytest.fixture(scope="session")
async def box(guest: Guest, plant: Plant, share: Path) -> Box:
    """The machine with the package, configured for the plant, its service running, nothing plugged in."""
    package = built("ucm-provisiond")
    shutil.copy(package, share)
    box = Box(guest, plant)
    await box.install(package.name)
    await box.configure()
    await box.restart()
    return box
