"""The checked-in protobuf modules are what the .proto files say, for the daemon and the simulated module alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = ROOT / "hardware" / "link"
COPIES = [ROOT / "daemon" / "ucm_provision" / "link" / "messages", ROOT / "hardware" / "ucm_sim" / "messages"]


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("messages")
    protos = [path.name for path in sorted(LINK.glob("*.proto"))]
    outputs = [f"--python_out={folder}", f"--mypy_out=quiet:{folder}"]
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *protos]
    subprocess.run(command, cwd=LINK, check=True, env=os.environ | {"PATH": search})
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.parent.name)
def test_regenerating_changes_nothing(regenerated: dict[str, str], copy: Path) -> None:
    checked_in = {path.name: path.read_text() for path in copy.glob("*_pb2.py*")}
    assert len(checked_in) == 4
    assert checked_in == regenerated, "hardware/link/*.proto has changed: make proto"
