"""The life of the package, in its order: each test goes on where the one before has ended.

What is a site's stays through upgrade and removal, and after a purge too, unless its owner has said otherwise.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.store.old_journals import restore, rows
from tests.vm.box import CONFIG, SERVICE, STATE, TOKEN, Box
from tests.vm.cables import UsbIpCable
from tests.vm.packages import built, bumped
from tests.vm.usb.cp2102 import Cp2102
from tests.vm.usb.hub import Hub

PACKAGE = "ucm-provisiond"
UNITS = f"{SERVICE} ucm-provisiond.socket ucm-provisiond-web.socket"
KEY = "/etc/ucm-provision/credentials/journal-key"
OWN_KEY = f"{STATE}/secrets.key"
RULE = "/usr/lib/udev/rules.d/70-ucm-provision.rules"
SITE_API_OPTIONS = "/etc/ucm-provision/site-api.env"
OLD_SCHEMA = 2

#: By table, as JSON has them.
Rows = dict[str, list[list[Any]]]

# What stands in a journal. The guest has no other SQLite than Python's.
_ROWS_IN = """
import json, sqlite3, sys
journal = sqlite3.connect(sys.argv[1])
print(json.dumps({name: journal.execute(f"SELECT * FROM {name}").fetchall() for name in sys.argv[2:]}))
"""


async def apt(box: Box, *arguments: str) -> None:
    """Nobody is there to be asked; a configuration that was changed on both sides stays the administrator's."""
    command = "DEBIAN_FRONTEND=noninteractive apt-get --yes -o Dpkg::Options::=--force-confold"
    await box.guest.run(f"{command} {' '.join(arguments)} 2>&1", within=180.0)


async def listed(box: Box, folder: str) -> set[str]:
    return set((await box.guest.run(f"ls -A {folder}")).split())


async def there(box: Box, *paths: str) -> list[bool]:
    return [(await box.guest.attempt(f"test -e {path}")).status == 0 for path in paths]


async def running(box: Box) -> list[str]:
    return (await box.guest.attempt(f"systemctl is-active {UNITS}")).out.split()


async def marks(box: Box) -> str:
    """What udev says of the one port, and whose it is."""
    return await box.guest.run("udevadm info --query property /dev/ttyUSB0 | grep ID_UCM; stat -c %G /dev/ttyUSB0")


async def rows_in(box: Box, journal: str, tables: Iterable[str]) -> Rows:
    await box.guest.write("/run/rows_in.py", _ROWS_IN)
    found: Rows = json.loads(await box.guest.run(f"python3 /run/rows_in.py {journal} {' '.join(tables)}"))
    return found


@pytest.fixture(scope="module")
def old_rows(share: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What is in the journal of an earlier schema that lies in the guest's shared folder."""
    path = tmp_path_factory.mktemp("old") / "journal.sqlite3"
    restore(path, f"schema-{OLD_SCHEMA}.sql")
    shutil.copy(path, share / "old.sqlite3")
    return {table: [list(row) for row in found] for table, found in rows(path).items()}


@pytest.fixture(scope="module")
async def later(share: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A later version in the guest's shared folder, with another default configuration."""
    folder = tmp_path_factory.mktemp("later")
    package = await bumped(built(PACKAGE), "99.1", folder, appended={CONFIG: "# An option of tomorrow.\n"})
    return Path(shutil.copy(package, share)).name


@pytest.fixture
def module_on_a_cable(box: Box, hub: Hub) -> UsbIpCable:
    """Behind an adapter that the package's own rule knows."""
    return UsbIpCable(box.guest, hub, box.plant.module(), Cp2102)


async def test_the_shell_completes_what_is_typed(box: Box) -> None:
    completes = "COMP_WORDS=(ucmctl manifest te) COMP_CWORD=2; _ucmctl_completion ucmctl; echo ${COMPREPLY[@]}"
    script = f". /usr/share/bash-completion/completions/ucmctl; {completes}"
    assert await box.guest.run(f"bash -c '{script}'") == "template\n"


async def test_an_upgrade_keeps_the_site_s_configuration_and_a_journal_of_an_older_schema(
    box: Box, old_rows: Rows, later: str
) -> None:
    of_the_site = f"sha256sum {KEY} {TOKEN} {CONFIG}; stat -c '%n %U %a' {KEY} {TOKEN}"
    before = await box.guest.run(of_the_site)
    assert f"{KEY} root 600" in before
    await box.guest.run(f"systemctl stop {UNITS}; rm -f {STATE}/journal*")
    await box.guest.run(f"install -o ucm-provision -m 600 /mnt/share/old.sqlite3 {STATE}/journal.sqlite3")
    await apt(box, "install", f"/mnt/share/{later}")
    assert await running(box) == ["active"] * 3
    assert {module["hardware_id"] for module in await box.modules()} == {row[1] for row in old_rows["sessions"]}
    assert await box.guest.run(of_the_site) == before
    assert "An option of tomorrow" in await box.guest.run(f"cat {CONFIG}.dpkg-dist")

    copy = f"{STATE}/journal-schema-{OLD_SCHEMA}.sqlite3"
    assert await box.guest.run(f"stat -c '%U %a' {copy}") == "ucm-provision 600\n"
    assert await rows_in(box, copy, old_rows) == old_rows
    await box.guest.run(f"systemctl stop {UNITS}")
    events = (await rows_in(box, f"{STATE}/journal.sqlite3", ["events"]))["events"]
    assert events[: len(old_rows["events"])] == old_rows["events"]


async def test_a_removal_ends_the_service_and_frees_the_ports_and_keeps_the_rest(
    box: Box, module_on_a_cable: UsbIpCable
) -> None:
    # From here on this is a box whose secrets are sealed with its own key, as one from before the package is.
    await box.guest.run(f"systemctl stop {UNITS}; rm -f {KEY} {STATE}/secrets.*")
    await box.restart()
    await box.guest.run("ucmctl wifi add plant-of-old --open")
    async with module_on_a_cable.plugged():
        await box.until_verified(module_on_a_cable.module.identity.hardware_id)
        assert await marks(box) == "ID_UCM=1\nucm-provision\n"
        configuration = await listed(box, "/etc/ucm-provision")
        await apt(box, "remove", PACKAGE)
        assert await running(box) == ["inactive"] * 3
        assert await there(box, RULE, "/usr/lib/ucm-provisiond", "/usr/bin/ucmctl") == [False] * 3
        await box.guest.until("stat -c %G /dev/ttyUSB0", "^dialout$")
        assert await marks(box) == "dialout\n"
    assert await listed(box, STATE) >= {"journal.sqlite3", "secrets.sealed", "secrets.key"}
    assert await listed(box, "/etc/ucm-provision") == configuration


async def test_a_purge_that_nobody_answers_for_takes_no_more_than_the_default_configuration(box: Box) -> None:
    state = await listed(box, STATE)
    await box.guest.run(f"touch {SITE_API_OPTIONS}")
    await apt(box, "purge", PACKAGE)
    assert await there(box, CONFIG, TOKEN) == [False, True]
    assert await listed(box, STATE) == state


async def test_installed_again_it_goes_on_with_what_was_left_and_with_the_key_of_old(box: Box) -> None:
    await apt(box, "install", f"/mnt/share/{built(PACKAGE).name}")
    assert await running(box) == ["active"] * 3
    assert await there(box, KEY, OWN_KEY) == [False, True]
    assert "plant-of-old" in await box.guest.run("ucmctl wifi show")
    assert "VERIFIED" in {module["milestone"] for module in await box.modules()}


async def test_a_purge_that_was_agreed_to_takes_all_that_is_the_site_s(box: Box) -> None:
    answer = f"{PACKAGE} {PACKAGE}/remove-site-data boolean true"
    await box.guest.run(f"echo '{answer}' | debconf-set-selections")
    await apt(box, "purge", PACKAGE)
    assert await running(box) == ["inactive"] * 3
    assert await there(box, STATE) == [False]
    assert await listed(box, "/etc/ucm-provision") == {Path(SITE_API_OPTIONS).name}


async def test_a_first_installation_makes_a_key_and_takes_up_what_is_plugged_in(
    box: Box, module_on_a_cable: UsbIpCable
) -> None:
    async with module_on_a_cable.plugged():
        await box.guest.until("stat -c %G /dev/ttyUSB0", "^dialout$")
        await apt(box, "install", f"/mnt/share/{built(PACKAGE).name}")
        assert await box.guest.run(f"stat -c '%U %a' {KEY}") == "root 600\n"
        await box.guest.until("stat -c %G /dev/ttyUSB0", "^ucm-provision$")
        await box.configure()
        await box.restart()
        await box.until_verified(module_on_a_cable.module.identity.hardware_id)
    assert await there(box, OWN_KEY) == [False]
