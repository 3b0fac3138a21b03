"""Fixtures that the integration suites share: legacy databases of one engine, a model's file."""

from pathlib import Path

import pytest

from tests.legacy import MariaDbLegacy, PostgresLegacy, open_legacy


@pytest.fixture
def maria(request: pytest.FixtureRequest, tmp_path: Path) -> MariaDbLegacy:
    """A new, empty database on the MariaDB pair."""
    made = open_legacy("mariadb", request, tmp_path)
    assert isinstance(made, MariaDbLegacy)
    return made


@pytest.fixture
def postgres_app(request: pytest.FixtureRequest, tmp_path: Path) -> PostgresLegacy:
    """A new, empty database on the PostgreSQL pair."""
    made = open_legacy("postgres", request, tmp_path)
    assert isinstance(made, PostgresLegacy)
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file for commands that only name the model."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    return path
