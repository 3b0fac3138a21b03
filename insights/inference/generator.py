"""The generator child: owns llama.cpp, proves it, batches whatever is in flight.

It has no database credentials, and is confined to its model and libraries before they are loaded.
"""

from insights.inference.messages import GeneratorInit
from insights.workers import serve


def main() -> None:
    """Confine itself, then load the model and serve."""
    with serve.connect() as server:
        init = server.init(GeneratorInit, reads=_reads)
        # Not before: numpy starts threads as it is imported, and they would stay outside.
        from insights.inference import generating  # noqa: PLC0415

        generating.run(server, init)


def _reads(init: GeneratorInit) -> list[str] | None:
    if not init.confined:
        return None
    return [init.path, init.tuned, *(adapter.path for adapter in init.adapters)]


if __name__ == "__main__":
    main()
