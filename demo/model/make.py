"""Makes the demo's model from nothing: `python -m demo.model.make`.

Data and tokenizer, training, export, hash. Seeded; interrupted, it goes on from its last
checkpoint in `.cache/demo-model`. `nice -n 10` and two threads leave a machine usable meanwhile.
"""

import argparse
import hashlib
from pathlib import Path

from tokenizers import Tokenizer

from demo.model.export import export
from demo.model.train import Plan, train
from demo.model.words import train_tokenizer

FOLDER = Path(".cache/demo-model")
MODEL = Path(__file__).parent / "helpdesk-triage.q8_0.gguf"
STEPS = 4_000


def main() -> None:
    """Run the steps that are not done yet."""
    parser = argparse.ArgumentParser(prog="python -m demo.model.make", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of 15 rows a worker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="checkpoint and curve")
    parser.add_argument("--output", type=Path, default=MODEL)
    given = parser.parse_args()
    path = given.folder / "tokenizer.json"
    if path.exists():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        tokenizer = train_tokenizer(path, seed=given.seed)
    network = train(
        tokenizer, Plan(given.steps, seed=given.seed, workers=given.workers), given.folder
    )
    export(network, tokenizer, given.output)
    digest = hashlib.sha256(given.output.read_bytes()).hexdigest()
    given.output.with_suffix(given.output.suffix + ".sha256").write_text(
        f"{digest}  {given.output.name}\n", encoding="utf-8"
    )
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.1f} MB, sha256 {digest}")


if __name__ == "__main__":
    main()
