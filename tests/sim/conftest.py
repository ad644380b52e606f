"""Fixtures for the simulated module."""

from pathlib import Path

import pytest

from tests.sim.sample import HARDWARE_ID, POP
from ucm_sim import Identity
from ucm_sim.messages import ucm_link_pb2 as pb


@pytest.fixture
def identity() -> Identity:
    return Identity(HARDWARE_ID, POP)


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "module.json"


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "ttyUCM0"


@pytest.fixture
def config() -> pb.ModuleConfig:
    """A configuration that parses; nothing listens at its broker."""
    return pb.ModuleConfig(
        device_id="device-1",
        hardware_id=HARDWARE_ID,
        channel_id="ucm",
        mqtt_host="127.0.0.1",
        mqtt_port=1,
        password=pb.MqttPassword(username=HARDWARE_ID, password="only-here"),
        wifi=[pb.Wifi(ssid="plant-wifi", passphrase="correct horse")],
    )
