"""Message brokers as child processes: RabbitMQ and Redis, with what they hold on disk."""

import contextlib
import os
import shutil
import signal
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
    """Redis; what it has acknowledged is on disk."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        self.data.mkdir(exist_ok=True)
        if self._user:
            shutil.chown(self.data, "nobody", "nogroup")
        return [
            str(REDIS), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        ]  # fmt: skip

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(redis.Redis.from_url(self.url).ping())
        return False


class RabbitMQ(_Broker):
    """RabbitMQ with ports, a name and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, unprivileged=True)
        self._ports = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def command(self) -> list[str]:
        epmd, dist = self._ports
        settings = {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
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
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
            return True
        return False
