"""What is added to a connection string before the driver sees it."""

import pyodbc
import pytest

from insights import errors
from insights.odbc import door

SQL_SERVER = "DRIVER={ODBC Driver 18 for SQL Server};SERVER=listener;DATABASE=erp"


def _given(monkeypatch: pytest.MonkeyPatch, odbc: str, *, read_only: bool) -> str:
    seen: list[str] = []

    def connect(given: str, **_options: object) -> None:
        seen.append(given)
        raise pyodbc.OperationalError("08001", "[08001] no such server")

    monkeypatch.setattr(pyodbc, "connect", connect)
    with pytest.raises(errors.InsightsError):
        door.engine(odbc, read_only=read_only, timeout_s=1)
    return seen[0]


def test_an_availability_group_is_asked_for_a_replica_where_we_only_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "ApplicationIntent=ReadOnly" in _given(monkeypatch, SQL_SERVER, read_only=True)
    assert "ApplicationIntent" not in _given(monkeypatch, SQL_SERVER, read_only=False)
    own = f"{SQL_SERVER};ApplicationIntent=ReadWrite"
    assert _given(monkeypatch, own, read_only=True).count("ApplicationIntent") == 1
