"""How llama.cpp splits a batch into passes over the weights (`llama-batch.cpp` of 0.3.36)."""

from collections import Counter
from collections.abc import Sequence


def passes(sequences: Sequence[int], micro_batch: int, *, unified: bool) -> int:
    """Return how many passes a batch takes that has one token for each entry of `sequences`.

    With one cache for all (`split_simple`) a pass takes what comes next. With a stream for each
    sequence (`split_equal`, sequential) it takes neighbours only, and of each as many tokens as the
    one with the fewest has left.
    """
    if unified:
        return -(-len(sequences) // micro_batch)
    left, made = Counter(sequences), 0
    while left:
        run: list[int] = []
        for sequence in sorted(left):
            if not run or (sequence == run[-1] + 1 and len(run) <= micro_batch):
                run.append(sequence)
        tokens = min(*(left[sequence] for sequence in run), max(1, micro_batch // len(run)))
        left -= Counter(dict.fromkeys(run, tokens))
        made += 1
    return made
