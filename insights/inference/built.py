"""The child that says what llama.cpp was compiled for: asked when a generator cannot start.

A process of its own, because loading the library may be what kills it.
"""

import types

from insights.inference import llama, machine
from insights.inference.messages import Built
from insights.workers import serve


def main() -> None:
    """Answer until the supervisor is gone."""
    with serve.connect() as server:
        server.init(Built)
        server.run({"built": (types.NoneType, lambda _: _built())})


def _built() -> Built:
    return Built(version=llama.version(), compiled=llama.compiled(), cpu=machine.features())


if __name__ == "__main__":
    main()
