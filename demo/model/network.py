"""The demo model's network: Llama's architecture, as llama.cpp runs it, in plain PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes as the GGUF has them; about 4.1 million parameters."""

    vocabulary: int
    layers: int = 6
    width: int = 192
    heads: int = 6
    feed_forward: int = 576
    context: int = 2_048
    epsilon: float = 1e-5
    rope_base: float = 10_000.0


class Norm(nn.Module):
    """RMS norm with a weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self._epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` scaled to unit mean square, times the weight."""
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self._epsilon)


class Block(nn.Module):
    """Attention with rotary positions (neighbouring pairs, so that export permutes nothing)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._heads = shape.heads
        self.attention_norm = Norm(shape.width, shape.epsilon)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.forward_norm = Norm(shape.width, shape.epsilon)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(
        self, shared: Tensor, rows: Tensor, turn: "Turn", looks: Sequence["Look"] = ()
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return both residual streams after this layer; rows also attend to what they share.

        Last comes, for each of `looks`, the log-probability with which its head looks there.
        """
        query, key, value = self._heads_of(shared, turn.shared)
        own_query, own_key, own_value = self._heads_of(rows, turn.rows)
        times = own_query.shape[0] // query.shape[0]
        keys = torch.cat((key.repeat_interleave(times, 0), own_key), 2)
        values = torch.cat((value.repeat_interleave(times, 0), own_value), 2)
        scores = _scores(query, key, turn.shared.mask)
        own_scores = _scores(own_query, keys, turn.rows.mask)
        seen = [look.log_probability(scores if look.shared else own_scores) for look in looks]
        mixed, own_mixed = F.softmax(scores, -1) @ value, F.softmax(own_scores, -1) @ values
        return (
            self._rest(shared, mixed, turn.shared),
            self._rest(rows, own_mixed, turn.rows),
            seen,
        )

    def _heads_of(self, x: Tensor, stream: "Stream") -> tuple[Tensor, Tensor, Tensor]:
        y = self.attention_norm(x)
        query, key, value = (
            stream.padded(part(y)).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        return _rotated(query, *stream.angles), _rotated(key, *stream.angles), value

    def _rest(self, x: Tensor, mixed: Tensor, stream: "Stream") -> Tensor:
        x = x + self.out(stream.flat(mixed.transpose(1, 2).flatten(2)))
        y = self.forward_norm(x)
        out: Tensor = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return out


@dataclass(frozen=True)
class Stream:
    """How the tokens of sequences of different lengths lie, one behind the other or padded."""

    places: Tensor
    shape: tuple[int, int]
    angles: tuple[Tensor, Tensor]
    mask: Tensor

    def padded(self, x: Tensor) -> Tensor:
        """Return `(sequences, tokens, width)` of `(all tokens, width)`."""
        rows, tokens = self.shape
        return (
            x.new_zeros(rows * tokens, x.shape[1])
            .index_copy(0, self.places, x)
            .unflatten(0, self.shape)
        )

    def flat(self, x: Tensor) -> Tensor:
        """Return `(all tokens, width)` of `(sequences, tokens, width)`."""
        return x.flatten(0, 1)[self.places]


@dataclass(frozen=True)
class Look:
    """Where a head looks: `(looks,)` sequences, tokens that look, and tokens looked at."""

    place: tuple[int, int]  # layer and head
    shared: bool  # the tokens that look are among the shared ones
    sequence: Tensor
    at: Tensor
    to: Tensor

    def log_probability(self, scores: Tensor) -> Tensor:
        """Return `(looks,) float32`."""
        chosen = scores[self.sequence, self.place[1], self.at].float()
        return F.log_softmax(chosen, -1).gather(1, self.to[:, None])[:, 0]


@dataclass(frozen=True)
class Turn:
    """The two streams of a step."""

    shared: Stream
    rows: Stream


class States(NamedTuple):
    """What a pass through the network gives: `(all tokens, width)`, one sequence behind the other.

    `own` is of the rows, the other of what they share. `seen` are the log-probabilities of the
    looks that were asked for, by layer.
    """

    final: Tensor
    middle: Tensor
    own_middle: Tensor
    own_after: Tensor
    seen: list[Tensor]


class Network(nn.Module):
    """The model. A token's vector is a shared projection of its first meaning plus its own part.

    The projection carries words that training never shows along with those it does; the own part is
    dropped now and then in training, so that the projection has to be good. `table` is what is
    exported, for input and output alike.
    """

    meanings: Tensor

    def __init__(
        self, shape: Shape, meanings: Tensor, issues: int, tones: int, numbers: int
    ) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("meanings", meanings, persistent=False)
        self.projection = nn.Parameter(
            torch.randn(meanings.shape[1], shape.width) * meanings.shape[1] ** -0.5
        )
        self.own = nn.Parameter(torch.zeros(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        # Only for training: which issue a passage or a ticket is about, and a ticket's tone, read
        # half-way up; a passage's number there, and a layer later that of a ticket's passage.
        self.issue = nn.Linear(shape.width, issues, bias=False)
        self.tone = nn.Linear(shape.width, tones, bias=False)
        self.number = nn.Linear(shape.width, numbers, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2 and name.startswith("blocks"):
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * 0.7)
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * 0.1)
        for block in self.blocks:  # alike tokens attend to each other from the start
            block.key.weight.data.copy_(block.query.weight.data)

    def table(self, drop: float = 0.0) -> Tensor:
        """Return the tokens' vectors, `(vocabulary, width)`."""
        own = self.own
        if drop > 0:
            keep = torch.rand(own.shape[0], 1) >= drop
            own = own * keep
        return self.meanings @ self.projection + own

    def forward(
        self,
        shared: Sequence[Tensor],
        rows: Sequence[Tensor],
        table: Tensor,
        looks: Sequence[Look] = (),
    ) -> "States":
        """Return the states; several tickets are read against passages that are computed once.

        Args:
            shared: The beginnings of prompts, each of which as many rows share.
            rows: How each prompt goes on.
            table: The tokens' vectors.
            looks: What is asked of heads, sorted by layer. A row's keys are those that it shares,
                padded to the longest, and then its own.
        """
        turn = self._turn(
            torch.tensor([len(x) for x in shared]), torch.tensor([len(y) for y in rows])
        )
        x, y = F.embedding(torch.cat([*shared]), table), F.embedding(torch.cat([*rows]), table)
        half = self.shape.layers // 2
        middle, own_middle, own_after = x, y, y
        seen: list[Tensor] = []
        for at, block in enumerate(self.blocks):
            x, y, found = block(x, y, turn, [look for look in looks if look.place[0] == at])
            seen += found
            if at == half - 1:
                middle, own_middle = x, y
            if at == half:
                own_after = y
        return States(self.norm(y), middle, own_middle, own_after, seen)

    def _turn(self, shared: Tensor, rows: Tensor) -> Turn:
        begin = shared.repeat_interleave(len(rows) // len(shared))[:, None]
        along, at = torch.arange(int(shared.max())), torch.arange(int(rows.max()))
        before = (along[None] < begin)[:, None].expand(-1, len(at), -1)
        own = (at[None] <= at[:, None]).expand(len(rows), -1, -1)
        return Turn(
            Stream(
                (along[None] < shared[:, None]).flatten().nonzero()[:, 0],
                (len(shared), len(along)),
                _angles(self.shape, along[None]),
                _mask((along[None] <= along[:, None])[None, None]),
            ),
            Stream(
                (at[None] < rows[:, None]).flatten().nonzero()[:, 0],
                (len(rows), len(at)),
                _angles(self.shape, begin + at[None]),
                _mask(torch.cat((before, own), 2)[:, None]),
            ),
        )


def _scores(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """Return attention before its softmax; for short rows faster than PyTorch's fused kernel."""
    return query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask


def _mask(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, dtype=torch.bfloat16).masked_fill(~allowed, -1e4)


def _angles(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    pair = torch.arange(0, shape.width // shape.heads, 2, dtype=torch.float32)
    speed = shape.rope_base ** (-pair / (shape.width // shape.heads))
    angle = positions[:, None, :, None].float() * speed
    return angle.cos().bfloat16(), angle.sin().bfloat16()


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
