"""Drafts by look-up: where output repeats its prompt, the prompt says what may come next.

Source: "Prompt Lookup Decoding", A. Saxena 2023; drafts are verified in the same batch, so that
they change the speed and never the output. A pipeline in which they do not pay stops drafting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_MATCH = 2  # tokens that must match before a continuation is proposed
_DRAFT = 4  # tokens proposed: longer drafts are refused more often than they save a step
_TRIAL = 64  # drafted tokens before a pipeline is judged
_PAYS = 0.5  # accepted share below which verifying costs more than it saves (benchmarks/engine.py)
_MEMORY = 512  # drafted tokens after which old experience counts half


@dataclass
class _Record:
    drafted: float = 0
    accepted: float = 0

    @property
    def pays(self) -> bool:
        return self.drafted < _TRIAL or self.accepted >= _PAYS * self.drafted


class Drafter:
    """Proposes what followed the last place in the prompt that reads like the output's end."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def draft(self, pipeline: str, prompt: Sequence[int], output: Sequence[int]) -> list[int]:
        """Return tokens that may follow; empty where nothing matches or drafting does not pay."""
        record = self._records.setdefault(pipeline, _Record())
        if not record.pays or len(output) < _MATCH:
            return []
        tail = list(output[-_MATCH:])
        for at in range(len(prompt) - _MATCH - 1, -1, -1):
            if prompt[at] == tail[0] and prompt[at + 1] == tail[1]:
                return list(prompt[at + _MATCH : at + _MATCH + _DRAFT])
        return []

    def learn(self, pipeline: str, drafted: int, accepted: int) -> None:
        """Record how a draft did."""
        record = self._records.setdefault(pipeline, _Record())
        record.drafted += drafted
        record.accepted += accepted
        if record.drafted > _MEMORY:
            record.drafted /= 2
            record.accepted /= 2
