"""The glue that tutorials show, for comparison: accept, answer 202, do it afterwards.

    python -m benchmarks._tutorial background PORT   FastAPI's BackgroundTasks
    python -m benchmarks._tutorial queue PORT        FastAPI puts a task on a Redis list
    python -m benchmarks._tutorial worker            takes it off and does it

A task is taken off the list before it is begun, which is Celery's default (`acks_late` is off),
and one that fails is logged and not tried again (`autoretry_for` is empty). MODEL, STORE and REDIS
are the addresses.
"""

import json
import os
import sys
import urllib.request
import uuid
from typing import Any

import psycopg
import redis
import uvicorn
from fastapi import BackgroundTasks, FastAPI

_ROW = "INSERT INTO public.result (key, category) VALUES (%s, %s)"
_TASKS = "tasks"


def enrich(row: dict[str, str]) -> None:
    """Ask the model, and write its answer down."""
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": f"{row['subject']} {row['body']}"}],
    }
    request = urllib.request.Request(  # noqa: S310 - the benchmark's own server
        f"{os.environ['MODEL']}/chat/completions",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        said = json.loads(answer.read())["choices"][0]["message"]["content"]
    with psycopg.connect(os.environ["STORE"]) as link:
        link.execute(_ROW, (row["id"], json.loads(said)["category"]))


def application(*, queued: bool) -> FastAPI:
    """Return the web application."""
    app = FastAPI()
    broker = redis.Redis.from_url(os.environ["REDIS"]) if queued else None

    @app.post("/v1/pipelines/{name}/requests", status_code=202)
    def submit(name: str, row: dict[str, str], tasks: BackgroundTasks) -> dict[str, Any]:
        if broker is not None:
            broker.lpush(_TASKS, json.dumps(row))
        else:
            tasks.add_task(enrich, row)
        return {"requests": [{"id": str(uuid.uuid4()), "pipeline": name}]}

    return app


def work() -> None:
    """Do tasks, one after the other."""
    broker = redis.Redis.from_url(os.environ["REDIS"])
    print("ready", flush=True)
    while True:
        taken: Any = broker.brpop([_TASKS], timeout=1)
        if taken is not None:
            try:
                enrich(json.loads(taken[1]))
            except Exception as exc:  # noqa: BLE001 - as a worker logs a task that failed
                print(type(exc).__name__, flush=True)


def main() -> None:
    """Serve or work."""
    if sys.argv[1] == "worker":
        work()
    else:
        app = application(queued=sys.argv[1] == "queue")
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
