"""Training: Muon for matrices, AdamW for the rest, on the CPU, resumable from its checkpoint."""

import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from tokenizers import Tokenizer
from torch import Tensor, distributed, nn

from demo.model.examples import FORCED, Encoder, Example
from demo.model.grammar import PRIORITIES, SENTIMENTS, issues
from demo.model.lessons import HEADS
from demo.model.network import Look, Network, Shape, States
from demo.model.rows import group, make
from demo.model.synonyms import reworded
from demo.model.words import meanings

_SIDE, _LESSON, _MATCH = 0.5, 0.3, 1.0  # weights: side tasks, a lesson, the hardest one
_TONES, _NUMBERS = len(PRIORITIES) + len(SENTIMENTS), 4  # three passages and none
_DROP = 0.5  # of the tokens' own parts
_MUON_RATE, _ADAM_RATE = 0.008, 0.002
_WARM_STEPS, _COOL = 40, 0.7
_SHARE_OF_FORCED = 0.2  # of the tokens that the grammar forces: enough to make room for it
_APART = 8  # steps between two averages of the workers' weights
_ALONE_STEPS, _FEW_STEPS = 100, 250  # rows with one passage, then with few
_SAVE_S, _MEASURE_STEPS, _HELD_ROWS = 120.0, 100, 128


@dataclass(frozen=True)
class Plan:
    """How long to train: steps of so many groups of rows that share their passages, or minutes."""

    steps: int
    groups: int = 3
    tickets: int = 5
    seed: int = 0
    workers: int = 2
    minutes: float = float("inf")

    @property
    def rows(self) -> int:
        """Rows a step, of all workers."""
        return self.groups * self.tickets * self.workers


def train(tokenizer: Tokenizer, plan: Plan, folder: Path) -> Network:
    """Return the trained network; goes on from the folder's checkpoint if there is one.

    Each worker is a process of one thread with its own rows; they average their weights every few
    steps, so that they need not wait for each other on a busy machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    if not _finished(folder, plan):
        torch.multiprocessing.spawn(
            _work, (tokenizer.to_str(), plan, folder, str(meeting.absolute())), plan.workers
        )
    network = _new(tokenizer, plan)
    _resume(folder / "checkpoint.pt", network, [])
    return network


def _new(tokenizer: Tokenizer, plan: Plan) -> Network:
    torch.manual_seed(plan.seed)
    shape = Shape(vocabulary=tokenizer.get_vocab_size())
    return Network(shape, torch.from_numpy(meanings(tokenizer)), len(issues()), _TONES, _NUMBERS)


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
    step, before = _resume(checkpoint, network, optimizers)
    held = _held(encoder) if worker == 0 else []
    saved = started = time.monotonic()
    done = _agreed(network, plan, step, before)
    while done < 1:
        torch.manual_seed(plan.seed + step)
        for optimizer in optimizers:
            for part in optimizer.param_groups:
                part["lr"] = part["base"] * _pace(done, step)
        loss = _step(network, optimizers, _batch(encoder, plan, step, worker), plan)
        step += 1
        spent = before + time.monotonic() - started
        if step % _APART == 0 or step >= plan.steps:
            done = _agreed(network, plan, step, spent)
        if worker:
            continue
        if step % _MEASURE_STEPS == 0 or done >= 1:
            figures = measure(network, held)
            figures |= {"step": step, "loss": loss, "rows": step * plan.rows, "seconds": spent}
            _note(folder / "curve.jsonl", figures)
        if time.monotonic() - saved > _SAVE_S or done >= 1:
            _save(checkpoint, network, optimizers, step, spent)
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
        for made in reworded(rng, group(rng, held=False, tickets=plan.tickets, passages=number))
    ]


def _step(
    network: Network, optimizers: list[torch.optim.Optimizer], batch: list[Example], plan: Plan
) -> float:
    loss = _loss(network, batch, plan.tickets)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


@torch.no_grad()
def _agreed(network: Network, plan: Plan, step: int, spent: float) -> float:
    """Average the workers' weights, and return how much of the training is done, for all alike."""
    weights = list(network.parameters())
    done = max(step / plan.steps, spent / 60 / plan.minutes)
    flat = torch.cat([*(weight.flatten() for weight in weights), torch.tensor([done])])
    if plan.workers > 1:
        distributed.all_reduce(flat)
        flat /= plan.workers
    for weight, part in zip(weights, flat[:-1].split([w.numel() for w in weights]), strict=True):
        weight.copy_(part.view_as(weight))
    return float(flat[-1])


def _loss(network: Network, batch: list[Example], times: int) -> Tensor:
    shared, rows = _tensors(batch, times)
    begins = _begins(rows)
    places, truths, weights = [], [], []
    for begin, example in zip(begins, batch, strict=True):
        for at, weight in enumerate(example.weights, example.output_at):
            if weight > FORCED or random.random() < _SHARE_OF_FORCED:
                places.append(begin + at - 1)
                truths.append(example.tokens[at])
                weights.append(weight)
    looks = _looks(batch, times)
    with torch.autocast("cpu", torch.bfloat16):
        table = network.table(_DROP).bfloat16()
        states = network(shared, rows, table, looks)
        logits = F.linear(states.final[places], table)
    losses = F.cross_entropy(logits.float(), torch.tensor(truths), reduction="none")
    weighed = torch.tensor(weights)
    loss = (losses * weighed).sum() / weighed.sum()
    weighed = torch.tensor([_MATCH if look.place == HEADS["match"] else _LESSON for look in looks])
    lessons = -(torch.stack([part.mean() for part in states.seen]) * weighed).sum()
    return loss + lessons + _SIDE * _side(network, batch, times, states)


def _side(network: Network, batch: list[Example], times: int, states: States) -> Tensor:
    """Return the loss of naming, half-way up, what texts are about, their tone, their numbers."""
    begins = _begins([torch.tensor(example.tokens) for example in batch])
    of_shared = _begins([torch.tensor(example.shared) for example in batch[::times]])
    ends = [begin + example.tone[0] for begin, example in zip(begins, batch, strict=True)]
    about = [
        (states.own_middle[begin + example.mark[0]], example.mark[1])
        for begin, example in zip(begins, batch, strict=True)
        if example.mark
    ]
    numbers = [(states.own_after[end], e.cited) for end, e in zip(ends, batch, strict=True)]
    for begin, example in zip(of_shared, batch[::times], strict=True):
        about += [(states.middle[begin + at], issue) for at, issue in example.shared_marks]
        numbers += [
            (states.middle[begin + at], number) for number, at in enumerate(example.numbers, 1)
        ]
    tone = _named(network.tone, list(states.own_middle[ends]))
    priorities, sentiments = tone.split([len(PRIORITIES), len(SENTIMENTS)], 1)
    loss = F.cross_entropy(priorities, torch.tensor([example.tone[1] for example in batch]))
    loss = loss + F.cross_entropy(sentiments, torch.tensor([example.tone[2] for example in batch]))
    for layer, pairs in ((network.issue, about), (network.number, numbers)):
        if pairs:
            truth = torch.tensor([name for _, name in pairs])
            loss = loss + F.cross_entropy(_named(layer, [state for state, _ in pairs]), truth)
    return loss


def _named(layer: nn.Module, states: list[Tensor]) -> Tensor:
    state = torch.stack(states)
    named: Tensor = layer(F.rms_norm(state, (state.shape[-1],)).float())
    return named.float()


def _looks(batch: list[Example], times: int) -> list[Look]:
    """Return the lessons of a batch, by layer."""
    width = max(len(example.shared) for example in batch)
    found: dict[tuple[str, bool], list[tuple[int, int, int]]] = defaultdict(list)
    for sequence, example in enumerate(batch[::times]):
        for lesson in example.shared_lessons:
            found[lesson.kind, True].append((sequence, lesson.at, lesson.to))
        found["before", True] += [(sequence, at, at - 1) for at in range(1, len(example.shared))]
    for sequence, example in enumerate(batch):
        for lesson in example.lessons:
            to = lesson.to + (0 if lesson.shared else width)
            found[lesson.kind, False].append((sequence, lesson.at, to))
        found["before", False] += [
            (sequence, at, width + at - 1) for at in range(1, len(example.tokens))
        ]
    looks = [
        Look(HEADS[kind], shared, *torch.tensor(places).unbind(1))
        for (kind, shared), places in found.items()
    ]
    return sorted(looks, key=lambda look: look.place[0])


def _tensors(batch: list[Example], times: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return what every `times` rows share, and the rows."""
    return (
        [torch.tensor(example.shared) for example in batch[::times]],
        [torch.tensor(example.tokens) for example in batch],
    )


def _begins(sequences: list[Tensor]) -> list[int]:
    """Return where each sequence begins when they lie one behind the other."""
    return list(accumulate((len(sequence) for sequence in sequences[:-1]), initial=0))


def _held(encoder: Encoder) -> list[Example]:
    rng = random.Random("held")
    return [encoder.encode(make(rng, held=True)) for _ in range(_HELD_ROWS)]


@torch.no_grad()
def measure(network: Network, examples: list[Example]) -> dict[str, float]:
    """Return the share right of each field, given the right answer before it, unconstrained."""
    right: dict[str, list[bool]] = defaultdict(list)
    for at in range(0, len(examples), 16):
        batch = examples[at : at + 16]
        shared, rows = _tensors(batch, 1)
        with torch.autocast("cpu", torch.bfloat16):
            table = network.table().bfloat16()
            final, *_ = network(shared, rows, table)
            for begin, row, example in zip(_begins(rows), rows, batch, strict=True):
                states = final[begin + example.output_at - 1 : begin + len(row) - 1]
                guess = F.linear(states, table).argmax(-1)
                truth = row[example.output_at :]
                same = guess == truth
                for name, (start, end) in example.spans.items():
                    part = same[start - example.output_at : end - example.output_at]
                    key = name if name != "key" or "cited" in example.spans else "abstains"
                    right[key].append(bool(part.all()))
    return {name: sum(values) / len(values) for name, values in right.items()}


def _pace(done: float, step: int) -> float:
    """Return the share of the full rate: rising at first, falling to nothing at last."""
    return min(1.0, (step + 1) / _WARM_STEPS, (1 - done) / _COOL)


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


def _save(
    path: Path,
    network: Network,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    spent: float,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "spent": spent,
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    new = path.with_suffix(".new")
    torch.save(state, new)
    new.replace(path)


def _resume(
    path: Path, network: Network, optimizers: list[torch.optim.Optimizer]
) -> tuple[int, float]:
    """Load a checkpoint, if there is one; return its steps and the seconds they took."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=bool(optimizers)):
        optimizer.load_state_dict(saved)
    return int(state["step"]), float(state["spent"])


def _finished(folder: Path, plan: Plan) -> bool:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return False
    state = torch.load(path, weights_only=True)
    return bool(state["step"] >= plan.steps or state["spent"] / 60 >= plan.minutes)


def _note(path: Path, figures: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({name: round(value, 4) for name, value in figures.items()})
    print(line, flush=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
