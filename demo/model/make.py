"""Makes the demo's model from nothing: `python -m demo.model.make`.

Data and tokenizer, training, export, hash into the demo's settings. Seeded; interrupted, it goes on
from its last checkpoint in `.cache/demo-model`. `--minutes` ends training by the clock instead.
"""

import argparse
import hashlib
import re
from pathlib import Path

from tokenizers import Tokenizer

from demo.model.export import export
from demo.model.train import Plan, train
from demo.model.words import train_tokenizer

FOLDER = Path(".cache/demo-model")
MODEL = Path(__file__).parent / "helpdesk-triage.q8_0.gguf"
SETTINGS = Path(__file__).parent.parent / "config" / "insights.toml"
STEPS = 4_000


def main() -> None:
    """Run the steps that are not done yet."""
    parser = argparse.ArgumentParser(prog="python -m demo.model.make", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of 15 rows a worker")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end by then instead")
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
    plan = Plan(given.steps, seed=given.seed, workers=given.workers, minutes=given.minutes)
    network = train(tokenizer, plan, given.folder)
    export(network, tokenizer, given.output)
    digest = hashlib.sha256(given.output.read_bytes()).hexdigest()
    given.output.with_suffix(given.output.suffix + ".sha256").write_text(
        f"{digest}  {given.output.name}\n", encoding="utf-8"
    )
    if given.output == MODEL:
        text = SETTINGS.read_text(encoding="utf-8")
        SETTINGS.write_text(
            re.sub(
                r'path = "[^"]*"\nsha256 = "[0-9a-f]{64}"',
                f'path = "../model/{given.output.name}"\nsha256 = "{digest}"',
                text,
            ),
            encoding="utf-8",
        )
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.1f} MB, sha256 {digest}")


if __name__ == "__main__":
    main()
