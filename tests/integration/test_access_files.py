"""A Microsoft Access file: its driver is refused by name, and a copy of it in SQLite is read."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights import errors
from insights.cli import app
from tests.legacy import reading, stream, walk

_PAGE = b"\x00\x01\x00\x00Standard Jet DB\x00\x01".ljust(4096, b"\x00")  # all that connecting reads
_DOCS = Path(__file__).parents[2] / "docs" / "polling.md"
# What mdbtools prints of a file with one table, and of one that ends in the middle.
_TOOLS = {
    "mdb-schema": "echo 'DROP TABLE IF EXISTS `Order Details`;'"
    " 'CREATE TABLE `Order Details` (`Order ID` INTEGER, `Note` varchar);'"
    " 'CREATE UNIQUE INDEX `u` ON `Order Details` (`Order ID`);'",
    "mdb-tables": "echo 'Order Details'",
    "mdb-export": 'test "${10}" = "Order Details" || exit 1\n'
    "echo \"INSERT INTO \\`Order Details\\` VALUES (1, 'it''s late'), (2, NULL);\"",
}


def _driver() -> None:
    listed = subprocess.run(["odbcinst", "-q", "-d"], capture_output=True, text=True, check=False)
    if "[MDBTools]" not in listed.stdout:
        pytest.skip("this machine has no MDBTools driver (odbc-mdbtools)")


def test_the_driver_is_refused_by_name_with_the_way_out(tmp_path: Path) -> None:
    _driver()
    path = tmp_path / "orders.mdb"
    path.write_bytes(_PAGE)
    odbc = f"Driver=MDBTools;DBQ={path}"
    with (
        reading(odbc) as client,
        pytest.raises(errors.SettingsError, match="no ORDER BY") as caught,
    ):
        client.inspect(stream())
    assert "docs/polling.md#microsoft-access" in caught.value.fix
    target = tmp_path / "site" / "insights.toml"
    done = CliRunner().invoke(app, ["-c", str(target), "init", odbc, "ticket", "--yes"])
    assert isinstance(done.exception, errors.SettingsError)
    assert not target.exists()


def test_the_copy_that_the_documentation_makes_is_walked_and_never_half_there(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    section = _DOCS.read_text().partition("### Microsoft Access")[2]
    script = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0]
    copy = tmp_path / "orders.sqlite"
    script = re.sub(r"(?m)^access=.*$", f"access=orders.mdb copy={copy}", script)
    if shutil.which("sqlite3") is None:
        pytest.skip("this machine has no sqlite3")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in _TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)

    def copied() -> int:
        environment = {"PATH": f"{tools}:/usr/bin:/bin"}
        return subprocess.run(["bash", "-c", script], env=environment, check=False).returncode

    spec = stream(table="Order Details", key=("Order ID",), inputs=("Note",))
    for _ in range(2):
        assert copied() == 0
        with reading(sqlite_odbc(copy)) as client:
            assert list(walk(client, spec)) == ["1", "2"]
    (tools / "mdb-export").write_text("#!/bin/sh\nexit 1\n")
    assert copied() != 0
    with reading(sqlite_odbc(copy)) as client:
        (row,) = client.fetch(spec, ["1"])
        assert row.values == {"Note": "it's late"}
        assert list(walk(client, spec)) == ["1", "2"]
