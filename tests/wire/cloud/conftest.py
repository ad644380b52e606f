import pytest

from tests.wire.broker.authority import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
