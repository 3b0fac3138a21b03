"""What a service has to reach is what its settings name; all else stays closed."""

import ipaddress
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights.cli import app, unit
from insights.site import files, networks

SITE = """
[store]
url = "{store}"
[source.erp]
odbc = "{odbc}"
[stream.t]
source = "erp"
table = "t"
key = ["id"]
"""
MODEL = '\n[model.far]\nurl = "https://gpu1.example:8000/v1"\nproxy = "http://proxy.example:3128"\n'


def _written(folder: Path, odbc: str, store: str = "postgresql:///x", more: str = "") -> Path:
    text = SITE.replace("{odbc}", odbc.replace("\\", "\\\\")).replace("{store}", store)
    (folder / "insights.toml").write_text(text + more)
    return folder / "insights.toml"


@pytest.mark.parametrize(
    ("odbc", "hosts"),
    [
        ("DRIVER={MariaDB Unicode};SERVER=erp-replica;UID=r", ["erp-replica"]),
        ("Driver={ODBC Driver 18};Server=tcp:sql1.example,1433;UID=r", ["sql1.example"]),
        ("Driver={x};Server=sql1\\INSTANCE", ["sql1"]),
        ("Driver={PostgreSQL Unicode};Servername=10.1.2.3;Port=5432", ["10.1.2.3"]),
        ("Driver={Oracle};DBQ=//ora.example:1521/service", ["ora.example"]),
        ("Driver={x};HOSTNAME={db2.example};PORT=50000", ["db2.example"]),
        ("Driver={x};Server=[2001:db8::7]:5432", ["2001:db8::7"]),
        ("DSN=erp;UID=r", [""]),
        ("${erp_string}", [""]),
        ("Driver={x};Server=${erp_host}", [""]),
        ("Driver=SQLite3;Database=/srv/x.sqlite", []),
    ],
)  # fmt: skip
def test_each_way_to_name_a_server_is_read(tmp_path: Path, odbc: str, hosts: list[str]) -> None:
    settings = files.load(_written(tmp_path, odbc))
    assert [host for where, host in networks.hosts(settings) if where == "source.erp.odbc"] == hosts


@pytest.mark.parametrize(
    ("store", "hosts"),
    [
        ("postgresql://u:${p}@db.example:5432/x?sslmode=require", ["db.example"]),
        ("postgresql://u@a:1,b:2/x", ["a", "b"]),
        ("postgresql://u@[2001:db8::7]:5432/x", ["2001:db8::7"]),
        ("postgresql://u@/x?host=/run/postgresql", []),
        ("postgresql:///x?host=c,d", ["c", "d"]),
        ("host=db.example,db2.example user=u dbname=x", ["db.example", "db2.example"]),
        ("service=insights", [""]),
    ],
)
def test_each_way_to_name_the_store_is_read(tmp_path: Path, store: str, hosts: list[str]) -> None:
    settings = files.load(_written(tmp_path, "DSN=x", store))
    assert [host for where, host in networks.hosts(settings) if where == "store.url"] == hosts


EMBEDDING = """
[embedding.server]
url = "https://vectors.example/v1"
proxy = "http://proxy.example:3128"
model = "m"
dimensions = 8
[embedding.rerank_server]
url = "https://judge.example/v1"
model = "m"
[embedding.previous.server]
url = "https://old.example/v1"
model = "m"
dimensions = 8
"""


def test_every_server_that_is_asked_or_told_is_read(tmp_path: Path) -> None:
    traces = '[traces]\nendpoint = "https://collector.example/v1/traces"\n'
    settings = files.load(_written(tmp_path, "DSN=x", more=MODEL + EMBEDDING + traces))
    assert [found for found in networks.hosts(settings) if found[0][:1] in "met"] == [
        ("model.far", "gpu1.example"),
        ("model.far", "proxy.example"),
        ("embedding.server", "vectors.example"),
        ("embedding.server", "proxy.example"),
        ("embedding.rerank_server", "judge.example"),
        ("embedding.previous.server", "old.example"),
        ("traces.endpoint", "collector.example"),
    ]


@pytest.fixture
def _resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"erp": ["10.1.2.3", "10.1.2.4"], "gpu1.example": ["192.0.2.9"], "db": ["127.0.0.1"]}

    def resolve(host: str, _port: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror
        return [(0, 0, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 10.0.0.53\n")
    monkeypatch.setattr(unit, "_RESOLVERS", tmp_path / "resolv.conf")


@pytest.mark.usefixtures("_resolved")
def test_the_drop_in_opens_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    config = _written(tmp_path, "Driver={x};Server=erp", "postgresql://u@db/x", MODEL)
    arguments = ["-c", str(config), "unit", "--network", "10.9.0.5/16", "--memory", "12G"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    said = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    opened = {line for line in said if line.startswith("IPAddressAllow=")}
    assert opened == {
        "IPAddressAllow=10.1.2.3 10.1.2.4",  # the source
        "IPAddressAllow=192.0.2.9",  # the model's server
        "IPAddressAllow=10.0.0.53",  # the name server
        "IPAddressAllow=10.9.0.0/16",  # asked for
    }
    assert said[0] == "[Service]"
    assert said[-1] == "MemoryMax=12G"
    assert "proxy.example does not resolve here" in " ".join(done.stderr.split())
    for line in opened:
        for network in line.partition("=")[2].split():
            assert ipaddress.ip_network(network).prefixlen >= 16


@pytest.mark.usefixtures("_resolved")
@pytest.mark.parametrize(
    "wrong", [["--network", "10.1.2.3.4"], ["--network", "any"], ["--memory", "lots"]]
)
def test_what_systemd_would_not_understand_is_refused(tmp_path: Path, wrong: list[str]) -> None:
    done = CliRunner().invoke(app, ["-c", str(_written(tmp_path, "DSN=x")), "unit", *wrong])
    assert done.exit_code != 0
    assert "[Service]" not in done.stdout
