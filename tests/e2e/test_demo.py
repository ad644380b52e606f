"""`make demo`, as a program runs it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from tests.e2e.station import BIN


async def demo(*arguments: str, folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        BIN / "ucm-demo",
        "--folder",
        folder,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_the_demo_verifies_all_of_its_modules_with_evidence(tmp_path: Path) -> None:
    status, out = await demo("--json", folder=tmp_path / "demo")
    result = json.loads(out)
    assert status == 0
    assert (result["modules"], result["verified"]) == (4, 4)
    assert {module["protocol"] for module in result["results"]} == {"MQTT", "MQTTS"}
    for module in result["results"]:
        evidence = module["evidence"]
        assert (evidence["reported_phase"], evidence["generation"]) == ("ONLINE", 1)
        assert evidence["seen_by"] in ("witness", "api")
        assert evidence["seen_generation"] == 1
    assert "All 4 modules are verified." in await asyncio.to_thread(Path(result["report"]).read_text)


async def test_the_demo_tells_a_person_what_happened_and_ends_without_a_terminal(tmp_path: Path) -> None:
    status, out = await demo(folder=tmp_path / "demo")
    assert status == 0
    *_, counted, report = out.splitlines()
    assert counted == "4 of 4 modules verified"
    assert report == f"The commissioning report: {tmp_path / 'demo' / 'commissioning-report.html'}"
    assert "its own report: ONLINE at generation 1" in out


async def test_two_more_modules_want_something_of_a_person(tmp_path: Path) -> None:
    status, out = await demo("--more", folder=tmp_path / "demo")
    assert status == 0
    assert "4 of 6 modules verified" in out
    assert "API_CONFLICT" in out
    assert "APPROVAL_NEEDED" in out
    assert re.search(r"^ +http://127\.0\.0\.1:\d+/#sign-in=\S+$", out, re.MULTILINE)
