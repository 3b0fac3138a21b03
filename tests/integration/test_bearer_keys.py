"""An issuer's keys come from a file or over HTTP, and nothing else does."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from insights.site.settings import Settings
from insights.web.bearer import Bearers

KEY = ec.generate_private_key(ec.SECP256R1())
SET = {"keys": [{**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())), "kid": "e"}]}
TOKEN = jwt.encode(
    {"iss": "https://id.example", "aud": "insights", "sub": "anna", "exp": 2**33, "roles": "desk"},
    KEY,
    "ES256",
    {"kid": "e"},
)


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers `/keys` well, and elsewhere as no provider should."""

    def do_GET(self) -> None:
        body, status = json.dumps(SET).encode(), 200
        if self.path == "/moved":
            status, body = 302, b""
        elif self.path == "/large":
            body += b" " * 300_000
        elif self.path == "/error":
            status = 500
        self.send_response(status)
        self.send_header("Location", "/keys")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def people(keys: str) -> Bearers:
    found = {
        "issuer": "https://id.example",
        "audience": "insights",
        "keys": keys,
        "roles": {"desk": "viewer"},
    }
    return Bearers(Settings.model_validate({"access": {"jwt": found}}))


def test_keys_come_over_http_and_nobody_is_followed_elsewhere(provider: str) -> None:
    person = people(f"{provider}/keys").person(TOKEN)
    assert person is not None
    assert (person.name, *person.roles) == ("anna", "viewer")
    for wrong in ("/moved", "/large", "/error"):
        assert people(provider + wrong).person(TOKEN) is None
    assert people("http://127.0.0.1:9/keys").person(TOKEN) is None  # nobody is there


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert people(str(file)).person(TOKEN) is None  # it is not there yet
    file.write_text(json.dumps(SET), encoding="utf-8")
    assert people(str(file)).person(TOKEN) is not None
    file.write_text("[]", encoding="utf-8")
    assert people(str(file)).person(TOKEN) is None
