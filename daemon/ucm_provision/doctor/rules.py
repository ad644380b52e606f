"""udev's rule files: which of them counts, and which USB ids one names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

OURS = "70-ucm-provision.rules"
SITE = "71-ucm-site.rules"

# Below the machine's root, in the order of udev(7): of files with one name the first replaces the others altogether.
_FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
# Where /lib is not yet a link to /usr/lib.
_OLD_FOLDER = "lib/udev/rules.d"

Ids = frozenset[tuple[str, str]]

_PAIR = re.compile(r'ATTRS?\{idVendor\}=="([0-9a-fA-F]{4})".*ATTRS?\{idProduct\}=="([0-9a-fA-F]{4})"')
# The kernel's PRODUCT: vendor, product and version without leading zeros.
_PRODUCT = re.compile(r'ENV\{PRODUCT\}=="([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/[^"]*"')


def named(root: Path, name: str) -> list[Path]:
    """The files of that name, the one that counts first."""
    folders = [(root / folder) for folder in (*_FOLDERS, _OLD_FOLDER)]
    found: list[Path] = []
    for file in (folder / name for folder in folders):
        if (file.exists() or file.is_symlink()) and not any(file.parent.samefile(each.parent) for each in found):
            found.append(file)
    return found


def in_force(root: Path) -> list[Path]:
    """The rule files that udev reads, in the order in which it does."""
    names = {file.name for folder in (*_FOLDERS, _OLD_FOLDER) for file in (root / folder).glob("*.rules")}
    return [named(root, name)[0] for name in sorted(names)]


def text(file: Path) -> str:
    """The rules of a file, without its comments; nothing where it masks one of the same name (empty, /dev/null)."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def marked_ids(root: Path) -> Ids:
    """The USB ids of the adapters that our rule, as it is installed, takes for modules' own."""
    files = named(root, OURS)
    return ids(text(files[0])) if files else frozenset()


def ids(rules: str) -> Ids:
    """The USB vendor and product ids that rules ask for, as sysfs writes them."""
    return frozenset(_ids(rules))


def _ids(rules: str) -> Iterator[tuple[str, str]]:
    for line in rules.replace("\\\n", " ").splitlines():
        for vendor, product in (*_PAIR.findall(line), *_PRODUCT.findall(line)):
            yield vendor.lower().zfill(4), product.lower().zfill(4)
