"""A web server that webhooks are posted to."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """A server that takes what is posted, or answers with another status, or hangs."""

    def __init__(self) -> None:
        self.status = 204
        self.hangs = threading.Event()
        self.hangs.set()  # as long as it is not
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.taken.append((headers, self.rfile.read(length)))
                outer.hangs.wait(120)
                with contextlib.suppress(OSError):  # nobody waits any more
                    self._answer()

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self._answer()

            def _answer(self) -> None:
                self.send_response(outer.status)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hangs.set()
        self.server.shutdown()
        self.server.server_close()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.taken]
