"""Training: Muon for matrices, AdamW for the rest, on the CPU, resumable from its checkpoint."""

import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from tokenizers import Tokenizer
from torch import Tensor, distributed, nn

from demo.model.examples import Encoder, Example
from demo.model.grammar import issues
from demo.model.network import Network, Shape
from demo.model.rows import group, make
from demo.model.words import meanings

_SIDE = 0.3  # weight of the side task
_DROP = 0.15  # of the tokens' own parts
_MUON_RATE, _ADAM_RATE = 0.02, 0.003
_WARM, _COOL = 0.02, 0.55  # shares of the steps: rising at the start, falling to nothing at the end
_ALONE_STEPS, _FEW_STEPS = 120, 350  # rows with one passage, then with few
_SAVE_S, _MEASURE_STEPS, _HELD_ROWS = 120.0, 100, 64


@dataclass(frozen=True)
class Plan:
    """How long to train: steps of so many groups of rows that share their passages."""

    steps: int
    groups: int = 3
    tickets: int = 5
    seed: int = 0
    workers: int = 2

    @property
    def rows(self) -> int:
        """Rows a step, of all workers."""
        return self.groups * self.tickets * self.workers


def train(tokenizer: Tokenizer, plan: Plan, folder: Path) -> Network:
    """Return the trained network; goes on from the folder's checkpoint if there is one.

    Each worker is a process of one thread with its own half of a step's rows; they meet once a
    step, so that a busy machine costs them little.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    if plan.steps > _steps_done(folder):
        torch.multiprocessing.spawn(
            _work, (tokenizer.to_str(), plan, folder, str(meeting.absolute())), plan.workers
        )
    network = _new(tokenizer, plan)
    _resume(folder / "checkpoint.pt", network, [])
    return network


def _new(tokenizer: Tokenizer, plan: Plan) -> Network:
    torch.manual_seed(plan.seed)
    shape = Shape(vocabulary=tokenizer.get_vocab_size())
    return Network(shape, torch.from_numpy(meanings(tokenizer)), len(issues()))


def _work(worker: int, tokenizer_text: str, plan: Plan, folder: Path, meeting: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=worker, world_size=plan.workers
    )
    tokenizer = Tokenizer.from_str(tokenizer_text)
    network = _new(tokenizer, plan)
    optimizers = _optimizers(network)
    encoder = Encoder(tokenizer)
    checkpoint = folder / "checkpoint.pt"
    begin = _resume(checkpoint, network, optimizers)
    held = _held(encoder) if worker == 0 else []
    saved = started = time.monotonic()
    for step in range(begin, plan.steps):
        torch.manual_seed(plan.seed + step)  # what is dropped is the same in all workers
        pace = _pace(step / plan.steps)
        for optimizer in optimizers:
            for part in optimizer.param_groups:
                part["lr"] = part["base"] * pace
        loss = _step(network, optimizers, _batch(encoder, plan, step, worker), plan)
        if worker:
            continue
        last = step + 1 == plan.steps
        if step % _MEASURE_STEPS == 0 or last:
            figures = measure(network, held)
            figures |= {"step": step, "loss": loss, "rows": (step + 1) * plan.rows}
            figures["seconds"] = time.monotonic() - started
            _note(folder / "curve.jsonl", figures)
        if time.monotonic() - saved > _SAVE_S or last:
            _save(checkpoint, network, optimizers, step + 1)
            saved = time.monotonic()
    distributed.destroy_process_group()


def _batch(encoder: Encoder, plan: Plan, step: int, worker: int) -> list[Example]:
    """Return a step's rows, always the same; early ones have fewer passages, to learn copying."""
    rng = random.Random(f"{plan.seed} {step} {worker}")
    if step < _ALONE_STEPS:
        counts = (0.7, 0.3, 0.0)
    elif step < _FEW_STEPS:
        counts = (0.15, 0.5, 0.35)
    else:
        counts = (0.0, 0.1, 0.9)
    number = rng.choices((1, 2, 3), counts)[0]
    return [
        encoder.encode(made)
        for _ in range(plan.groups)
        for made in group(rng, held=False, tickets=plan.tickets, passages=number)
    ]


def _step(
    network: Network, optimizers: list[torch.optim.Optimizer], batch: list[Example], plan: Plan
) -> float:
    loss = _loss(network, batch, plan.tickets)
    loss.backward()
    _average(network, plan.workers)
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _average(network: Network, workers: int) -> None:
    if workers == 1:
        return
    weights = list(network.parameters())
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    flat /= workers
    for weight, part in zip(weights, flat.split([w.numel() for w in weights]), strict=True):
        weight.grad = part.view_as(weight)


def _loss(network: Network, batch: list[Example], times: int) -> Tensor:
    shared, lengths, tokens = _tensors(batch, times)
    places = [
        (row, at - 1)
        for row, example in enumerate(batch)
        for at in range(example.output_at, len(example.tokens))
    ]
    rows, at = torch.tensor(places).T
    weights = torch.tensor([weight for example in batch for weight in example.weights])
    with torch.autocast("cpu", torch.bfloat16):
        table = network.table(_DROP).bfloat16()
        final, middle, own_middle = network(shared, lengths, tokens, table)
        logits = F.linear(final[rows, at], table)
        states, about = [], []
        for row, example in enumerate(batch):
            if example.mark:
                states.append(own_middle[row, example.mark[0]])
                about.append(example.mark[1])
            if row % times == 0:
                states += [middle[row // times, place] for place, _ in example.shared_marks]
                about += [issue for _, issue in example.shared_marks]
    losses = F.cross_entropy(logits.float(), tokens[rows, at + 1], reduction="none")
    loss = (losses * weights).sum() / weights.sum()
    if about:
        state = torch.stack(states)
        side = network.issue(F.rms_norm(state, (state.shape[-1],)).float())
        loss = loss + _SIDE * F.cross_entropy(side.float(), torch.tensor(about))
    return loss


def _tensors(batch: list[Example], times: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what every `times` rows share and its lengths, and the rows; padded."""
    first = batch[::times]
    lengths = torch.tensor([len(example.shared) for example in first])
    shared = torch.zeros(len(first), int(lengths.max()), dtype=torch.long)
    for row, example in enumerate(first):
        shared[row, : len(example.shared)] = torch.tensor(example.shared)
    longest = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, example in enumerate(batch):
        tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
    return shared, lengths, tokens


def _held(encoder: Encoder) -> list[Example]:
    rng = random.Random("held")
    return [encoder.encode(make(rng, held=True)) for _ in range(_HELD_ROWS)]


@torch.no_grad()
def measure(network: Network, examples: list[Example]) -> dict[str, float]:
    """Return the share right of each field, given the right answer before it, unconstrained."""
    right: dict[str, list[bool]] = defaultdict(list)
    for at in range(0, len(examples), 16):
        batch = examples[at : at + 16]
        shared, lengths, tokens = _tensors(batch, 1)
        with torch.autocast("cpu", torch.bfloat16):
            table = network.table().bfloat16()
            final, *_ = network(shared, lengths, tokens, table)
            for row, example in enumerate(batch):
                guess = F.linear(final[row, example.output_at - 1 : -1], table).argmax(-1)
                length = len(example.tokens)
                truth = tokens[row, example.output_at : length]
                same = guess[: len(truth)] == truth
                for name, (start, end) in example.spans.items():
                    part = same[start - example.output_at : end - example.output_at]
                    key = name if name != "key" or "cited" in example.spans else "abstains"
                    right[key].append(bool(part.all()))
    return {name: sum(values) / len(values) for name, values in right.items()}


def _pace(done: float) -> float:
    """Return the share of the full rate."""
    if done < _WARM:
        return done / _WARM + 0.01
    return min(1.0, (1 - done) / _COOL)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by five Newton-Schulz steps.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the
    coefficients are theirs.
    """

    def __init__(self, matrices: list[nn.Parameter]) -> None:
        super().__init__(matrices, {"lr": _MUON_RATE})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # noqa: ANN401
        """Update all matrices."""
        del closure
        for part in self.param_groups:
            for weight in part["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].mul_(0.95).add_(weight.grad)
                update = _orthogonal(weight.grad.add(momentum, alpha=0.95))
                scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - part["lr"] * 0.02)
                weight.add_(update, alpha=-part["lr"] * scale)


def _orthogonal(matrix: Tensor) -> Tensor:
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.T).float()


def _optimizers(network: Network) -> list[torch.optim.Optimizer]:
    named = dict(network.named_parameters())
    matrices = [w for name, w in named.items() if name.startswith("blocks") and w.ndim == 2]
    others = [w for name, w in named.items() if not (name.startswith("blocks") and w.ndim == 2)]
    found = [Muon(matrices), torch.optim.AdamW(others, _ADAM_RATE, (0.9, 0.98), weight_decay=0.0)]
    for optimizer in found:
        for part in optimizer.param_groups:
            part["base"] = part["lr"]
    return found


def _save(path: Path, network: Network, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    new = path.with_suffix(".new")
    torch.save(state, new)
    new.replace(path)


def _resume(path: Path, network: Network, optimizers: list[torch.optim.Optimizer]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=bool(optimizers)):
        optimizer.load_state_dict(saved)
    return int(state["step"])


def _steps_done(folder: Path) -> int:
    path = folder / "checkpoint.pt"
    return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


def _note(path: Path, figures: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({name: round(value, 4) for name, value in figures.items()})
    print(line, flush=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
