"""The handler to compare with: FastAPI, as a tutorial writes it, straight into a table."""

import os
import sys
import uuid
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import uvicorn
from fastapi import FastAPI
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

TABLE = (
    "CREATE TABLE IF NOT EXISTS public.request (id uuid PRIMARY KEY, pipeline text NOT NULL,"
    " body jsonb NOT NULL, sent_at timestamptz NOT NULL DEFAULT now())"
)


def made(url: str) -> FastAPI:
    """Return the handler."""
    pool = ConnectionPool(url, min_size=4, max_size=8, open=False, kwargs={"autocommit": True})

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> Any:  # noqa: ANN401
        pool.open(wait=True)
        yield
        pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/pipelines/{name}/requests", status_code=202)
    def submit(name: str, body: dict[str, Any]) -> dict[str, str]:
        id_ = str(uuid.uuid4())
        with pool.connection() as link:
            link.execute(
                "INSERT INTO public.request (id, pipeline, body) VALUES (%s, %s, %s)",
                (id_, name, Jsonb(body)),
            )
        return {"id": id_}

    return app


def main() -> None:
    """Serve at a port."""
    url, port = os.environ["BENCH_URL"], int(sys.argv[1])
    with psycopg.connect(url) as link:
        link.execute(TABLE)
    uvicorn.run(made(url), host="127.0.0.1", port=port, log_level="error", http="h11")


if __name__ == "__main__":
    main()
