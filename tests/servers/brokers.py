"""Message brokers as child processes: RabbitMQ and Redis, with what they hold on disk."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pika
import pika.exceptions
import redis

from tests.servers.process import Rows, Server, free_port

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
REDIS = shutil.which("redis-server")
_START_S = 90.0


class _Broker(Server):
    """A server that answers by its own protocol."""

    @property
    def url(self) -> str:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        raise NotImplementedError

    def _listens(self) -> bool:
        """Tell whether it takes connections: who shows no certificate is told no more."""
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def start(self) -> Self:
        """Start it and wait until it answers."""
        until = time.monotonic() + _START_S
        self._spawn()
        while not self.answers():
            if time.monotonic() > until:
                raise RuntimeError(self.log.read_text(errors="replace")[-2000:])
            time.sleep(0.1)
            if self.process is None or self.process.poll() is not None:
                self._spawn()
        return self


class Redis(_Broker):
    """Redis; what it has acknowledged is on disk.

    Args:
        folder: Where its data and log live.
        certificates: A folder with `ca.pem` and `server.pem`: TLS, and a client shows one as well.
    """

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        super().__init__(folder, unprivileged=True)
        self._certificates = certificates

    @property
    def url(self) -> str:
        scheme = "redis" if self._certificates is None else "rediss"
        return f"{scheme}://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        self.data.mkdir(exist_ok=True)
        if self._user:
            shutil.chown(self.data, "nobody", "nogroup")
        return [
            str(REDIS), *self._listening(), "--bind", "127.0.0.1", "--dir", str(self.data),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip

    def _listening(self) -> list[str]:
        if self._certificates is None:
            return ["--port", str(self.port)]
        authority, own = self._certificates / "ca.pem", self._certificates / "server.pem"
        return [
            "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "yes",
            "--tls-ca-cert-file", str(authority), "--tls-cert-file", str(own),
            "--tls-key-file", str(own),
        ]  # fmt: skip

    def answers(self) -> bool:
        if self._certificates is not None:
            return self._listens()
        with contextlib.suppress(redis.RedisError):
            return bool(redis.Redis.from_url(self.url).ping())
        return False


class RabbitMQ(_Broker):
    """RabbitMQ with ports, a name and a folder of its own.

    Args:
        folder: Where its data and log live.
        certificates: As of `Redis`.
    """

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        super().__init__(folder, unprivileged=True)
        self._ports = free_port(), free_port()
        self._certificates = certificates
        self._plain = self.port if certificates is None else free_port()
        if certificates is not None:
            (folder / "rabbitmq.conf").write_text(
                f"listeners.ssl.default = 127.0.0.1:{self.port}\n"
                f"ssl_options.cacertfile = {certificates}/ca.pem\n"
                f"ssl_options.certfile = {certificates}/server.pem\n"
                f"ssl_options.keyfile = {certificates}/server.pem\n"
                "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
            )

    @property
    def url(self) -> str:
        scheme = "amqp" if self._certificates is None else "amqps"
        return f"{scheme}://guest:guest@127.0.0.1:{self.port}/%2F"

    def command(self) -> list[str]:
        epmd, dist = self._ports
        settings = {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self._plain,
            "RABBITMQ_DIST_PORT": dist,
            "ERL_EPMD_PORT": epmd,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": self.data,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "env",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), str(RABBITMQ)]

    def _spawn(self) -> None:
        with self.log.open("ab") as log:  # in a group of its own: its shell has children
            self.process = subprocess.Popen(
                [*self._user_words(), *self.command()], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def _user_words(self) -> list[str]:
        return ["setpriv", "--pdeathsig", "KILL", *self._user]

    def stop(self, kill: signal.Signals = signal.SIGKILL) -> None:
        """End it and its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, kill)
            self.process.wait(30)
            self.process = None

    def answers(self) -> bool:
        if self._certificates is not None and not self._listens():
            return False
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            plain = f"amqp://guest:guest@127.0.0.1:{self._plain}/%2F"
            pika.BlockingConnection(pika.URLParameters(plain)).close()
            return True
        return False
