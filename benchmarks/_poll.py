"""The measured half of `benchmarks.poll`: the product's polls and sweeps, told what to do on stdin.

A process of its own, and nothing but the product in it: its peak memory is the supervisor's. One
JSON array a line comes in (`["poll", "ten_million"]`), one JSON object a line goes out.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from insights.ground import logs
from insights.model import StreamSpec
from insights.polling.courtesy import Courtesy
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.sources.client import SourceClient
from insights.store.deployments import Deployments
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store

MB = 1e6
NS = 1e9


class Product:
    """Pollers and sweepers of some streams, over one reader and one store."""

    def __init__(self, store_url: str, odbc: str, streams: list[dict[str, Any]]) -> None:
        self._store = Store(store_url).open()
        self._source = SourceClient("erp", odbc, hash_key=b"benchmark", timeout_s=60.0)
        deployments = Deployments(self._store)
        leases = Leases(self._store, "benchmark", ttl_s=60.0)
        self._pollers: dict[str, Poller] = {}
        self._sweepers: dict[str, Sweeper] = {}
        for found in streams:
            spec = msgspec.convert(found, StreamSpec)
            deployments.register(
                f"p {spec.name}",
                "0" * 64,
                {},
                stream=spec.name,
                columns=spec.inputs,
                overlap_s=spec.overlap_s,
            )
            ledger = Ledger(self._store, spec.name, holder="benchmark")
            parts = (spec, self._source, ledger, leases, Courtesy())
            self._pollers[spec.name] = Poller(*parts)
            self._sweepers[spec.name] = Sweeper(*parts, 3600.0)

    def poll(self, name: str) -> dict[str, Any]:
        """Poll a stream once."""
        return self._timed(self._pollers[name].run_once)

    def sweep(self, name: str) -> dict[str, Any]:
        """Sweep a stream to its end."""
        return self._timed(self._sweepers[name].run_once)

    def cost(self) -> dict[str, Any]:
        """Return peak resident memory, in MB, of this process and its reader."""
        return {name: _peak_mb(pid) for name, pid in self._pids().items()}

    def close(self) -> None:
        """End the reader and leave the store."""
        self._source.close()
        self._store.close()

    def _timed(self, run: Any) -> dict[str, Any]:  # noqa: ANN401 - a poll or a sweep
        before, began = self._cpu(), time.perf_counter()
        result = run()
        wall = time.perf_counter() - began
        spent = {name: cpu - before.get(name, 0.0) for name, cpu in self._cpu().items()}
        return {"wall_s": wall, "cpu_s": spent} | {
            name: getattr(result, name)
            for name in ("outcome", "rows", "new", "changed", "rescued", "finished")
            if hasattr(result, name)
        }

    def _pids(self) -> dict[str, str]:
        reader = self._source.pid
        return {"supervisor": "self"} | ({} if reader is None else {"reader": str(reader)})

    def _cpu(self) -> dict[str, float]:
        """Return the processor seconds so far, of all threads that live, to the nanosecond."""
        return {
            name: sum(
                int(task.read_text().split()[0]) / NS
                for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
            )
            for name, pid in self._pids().items()
        }


def main() -> None:
    """Do as told until stdin ends."""
    given = json.loads(sys.stdin.readline())
    logs.configure("json", "error")
    product = Product(given["store"], given["odbc"], given["streams"])
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps(getattr(product, verb)(*arguments)), flush=True)
    product.close()


def _peak_mb(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / MB


if __name__ == "__main__":
    main()
