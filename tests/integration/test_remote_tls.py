"""A private authority and a client's certificate: whoever lacks either is told no row."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import openai
import pytest

from insights.inference.messages import RemoteInit
from insights.inference.remote import connect
from tests.certificates import made


class Models(BaseHTTPRequestHandler):
    """Says which models there are: none."""

    def do_GET(self) -> None:
        body = b'{"object": "list", "data": []}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server that a private authority vouches for, and that asks for a client's certificate."""
    authority = made(tmp_path, "authority", None)
    for name in ("server", "client"):
        made(tmp_path, name, authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = HTTPServer(("127.0.0.1", 0), Models)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("ca_file", "client_cert", "answered"),
    [("authority", "client", True), (None, "client", False), ("authority", None, False)],
)
def test_both_certificates_are_needed_and_used(
    url: str, tmp_path: Path, ca_file: str | None, client_cert: str | None, *, answered: bool
) -> None:
    files = [
        None if name is None else str(tmp_path / f"{name}.pem") for name in (ca_file, client_cert)
    ]
    init = RemoteInit(
        name="m", url=url, model="m", api_key="", timeout_s=5, ca_file=files[0],
        client_cert=files[1], section="model.m",
    )  # fmt: skip
    with connect(init) as client:
        if answered:
            assert client.models.list().data == []
        else:
            with pytest.raises(openai.APIConnectionError):
                client.models.list()
