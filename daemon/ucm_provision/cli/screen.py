"""Whether somebody looks. Nothing of rich is imported before that is known."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ucm_provision.cli.picture import Picture


def help_width() -> int | None:
    """The terminal's columns where click would break its lines too late: it never goes below 50 by itself."""
    columns = shutil.get_terminal_size().columns
    return columns - 1 if columns <= 50 and sys.stdout.isatty() else None


def screen() -> Picture | None:
    """Where a person looks, or None: standard output is no terminal, or rich is not installed."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from ucm_provision.cli.picture import Picture  # noqa: PLC0415 -- only here: ucmctl must start at once
    except ModuleNotFoundError:
        return None
    return Picture()
