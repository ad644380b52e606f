from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter; those of pytest are closed to others than who tests."""
    with tempfile.TemporaryDirectory(prefix="ucm-doctor-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
