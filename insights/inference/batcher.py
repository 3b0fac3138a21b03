"""Continuous batching: admit, build, decode, absorb; sequences join and leave at every step.

Pure scheduling: the model behind it is a Protocol, and the tests' is a fake. Each sequence has a
stream of the KV cache to itself. A waiting row is admitted to a free stream after the longest
prefix that any stream holds, which is copied there or already is there; rows that share passages
thereby run one after another and pay for them once. A row whose prefix another row is just
computing waits for it; a row that has used half of its time is admitted next, whatever it shares.
Rows of more weight, such as those that a person waits for, have a line of their own (`turns`).
After a start the first row runs alone, so that people see an insight before all prompts are read.
A batch is evaluated under one adapter: rows of several are admitted in turns (`waiting`), and while
rows of two are in flight each has a few steps, so that none waits for another's end.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from insights import errors
from insights.inference.drafting import Drafter
from insights.inference.sampling import choose
from insights.inference.slots import Decoder, Job, Slot
from insights.inference.waiting import Lines
from insights.model import Adapter
from insights.workers.channel import Fault

_TURN_ROWS = 2  # times the rows at once that one adapter's turn admits while others wait
_TURN_STEPS = 8  # of one adapter while rows of another are in flight


@dataclass
class Tally:
    """What a batcher has done since its start; `switches` are from one adapter to another."""

    steps: int = 0
    switches: int = 0
    evaluated: int = 0
    copies: int = 0
    drafted: int = 0
    accepted: int = 0
    decode_s: float = 0.0


class Batcher:
    """All rows in flight, in one batch.

    Args:
        model: The decoder; used from the calling thread only.
        parallel: Rows at once: sequences 0 to parallel - 1.
        batch: The most tokens a step.
        chunk: The most prompt tokens a step while other rows are writing.
        run: Forced tokens of one row that are worth a pass of their own.
        few: With no more rows writing than this, each advances by all it has, drafts too.
        masks: Where masks are computed while the batch decodes.
        drafter: Proposes tokens to verify; None drafts nothing.
        clock: Monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - what a batcher is made of
        self,
        model: Decoder,
        *,
        parallel: int,
        batch: int,
        chunk: int,
        run: int,
        few: int,
        masks: Executor,
        drafter: Drafter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._batch, self._chunk = batch, chunk
        self._slots = [Slot(index) for index in range(parallel)]
        self._waiting = Lines(_TURN_ROWS * parallel)
        self._masks = masks
        self._drafter = drafter
        self._run, self._few = run, few
        self._clock = clock
        self._alone = True  # until the first row has ended
        self._adapter: Adapter | None = None  # that the model works under
        self._stepped: dict[Adapter | None, int] = {}  # when each adapter stepped last
        self._turn = 0  # steps of the adapter in a row
        self.tally = Tally()

    @property
    def cells(self) -> int:
        """How many tokens the streams of the KV cache hold."""
        return sum(slot.held for slot in self._slots)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._waiting) or any(slot.job for slot in self._slots)

    def submit(self, job: Job) -> None:
        """Queue a job; its prompt and output must fit a sequence."""
        self._waiting.add(job)

    def cancel(self, number: int) -> None:
        """Forget a job, waiting or running; one that has ended is none."""
        job = self._waiting.find(number)
        if job is not None:
            self._waiting.remove(job)
        for slot in self._slots:
            if slot.job is not None and slot.job.number == number:
                self._end(slot)

    def step(self) -> list[Job]:
        """Run one batch and return the jobs that ended with it, in any order."""
        begun = self._clock()
        ended = self._expire()
        self._follow()
        self._admit()
        entries = self._build()
        if entries:
            held = (slot.job for slot in self._slots if slot.adapter == self._adapter)
            running = [job for job in held if job is not None]
            self._decode(entries)
            ended += self._absorb()
            each = (self._clock() - begun) / len(running)
            for job in running:
                job.compute_s += each
        return ended

    # --- admit

    def _admit(self) -> None:
        free = [slot for slot in self._slots if slot.job is None]
        if self._alone:  # the others wait as in any queue, with their whole time to be written
            free = free[: len(free) == len(self._slots)]
        while free and self._waiting:
            job, source, length = self._next()
            slot = source if source.job is None else self._least_useful(free)
            free.remove(slot)
            self._start(job, slot, source, length)

    def _next(self) -> tuple[Job, Slot, int]:
        """Return the job to admit, and the slot that has (or will have) most of its prompt."""
        line = self._waiting.turn(now := self._clock())
        oldest, adapter = line.oldest, line.adapter
        alike = [slot for slot in self._slots if slot.adapter == adapter]
        if alike and not oldest.late(now):
            length, number, slot = max(
                ((*line.prompts.nearest(slot.key), slot) for slot in alike),
                key=lambda found: (found[0], found[2].job is None, found[2].held),
            )
            if length > 0:
                return line.jobs[number], slot, length
        slot = max(self._slots, key=lambda s: (s.shares(oldest.key, adapter), s.job is None))
        return oldest, slot, slot.shares(oldest.key, adapter)

    def _least_useful(self, free: list[Slot]) -> Slot:
        """Return the free slot whose content the waiting rows share least with."""
        return min(free, key=self._worth)

    def _worth(self, slot: Slot) -> tuple[int, int]:
        return self._waiting.shared(slot.key, slot.adapter), slot.held

    def _start(self, job: Job, slot: Slot, source: Slot, length: int) -> None:
        self._waiting.took(job)
        job.admitted = self._clock()
        # It had its time to wait, and has the same to be written: no work that began is lost.
        job.deadline += job.admitted - job.submitted
        # The last prompt token is always evaluated: its logits are needed.
        length = min(length, len(job.prompt) - 1)
        slot.job, slot.key, slot.pending, slot.draft = job, job.key, [], []
        slot.adapter = job.adapter
        if slot is source:
            self._take(slot, min(length, slot.held))
            return
        # What the stream holds is given up here: a row that waits has nothing that others may copy.
        slot.held, slot.source = 0, (source, length)
        self._inherit(slot)

    def _take(self, slot: Slot, length: int) -> None:
        """Begin a slot's prompt after `length` tokens that its stream holds."""
        if not self._model.trim(slot.index, length):
            self._model.trim(slot.index, 0)
            length = 0
        job = slot.job
        if job is None:
            raise RuntimeError("a slot without a job begins no prompt")
        slot.held, slot.source = length, None
        slot.pending = job.prompt[length:]
        job.reused = length

    def _follow(self) -> None:
        """Give the slots that wait for a prefix theirs, if by now it is there."""
        for slot in self._slots:
            self._inherit(slot)

    def _inherit(self, slot: Slot) -> None:
        """Copy a prefix from the slot's source, unless that is still computing it."""
        if slot.source is None or slot.job is None:
            return
        source, wanted = slot.source
        # The source may have ended early or taken another job since.
        length = min(wanted, source.shares(slot.key, slot.adapter))
        if source.held < length and source.job is not None and not self._circular(slot):
            return
        length = min(length, source.held)
        if length:
            self._model.copy(source.index, slot.index)
            self.tally.copies += 1
        self._take(slot, length)

    def _circular(self, slot: Slot) -> bool:
        """Whether a slot waits, over others, for itself."""
        seen, at = {slot.index}, slot
        while at.source is not None:
            at = at.source[0]
            if at.index in seen:
                return True
            seen.add(at.index)
        return False

    # --- build

    def _build(self) -> list[tuple[int, int, int, bool]]:
        """Return the batch as (token, position, sequence, wanted), by sequence.

        llama.cpp evaluates sequences in separate streams together only for as many tokens as each
        of them has: what one has more costs a pass of its own. So rows that write advance alike,
        one forced token a step too, unless a run is long enough to be worth a pass. What is left of
        the batch goes to prompts, the first come first, no more than a chunk while anyone writes.
        """
        active = self._turning([slot for slot in self._slots if slot.job and slot.pending])
        writing = [slot for slot in active if slot.job and slot.job.first]
        room = self._batch - len(active)
        takes = {slot.index: 1 for slot in active}
        together = min((len(slot.pending) for slot in writing), default=1)
        for slot in writing:
            waiting = len(slot.pending)
            whole = waiting >= self._run or len(writing) <= self._few
            if not whole:
                slot.draft = []
            more = min((waiting + len(slot.draft) if whole else together) - 1, room)
            takes[slot.index] += more
            room -= more
        room = min(room, self._chunk) if writing else room
        reading = [slot for slot in active if slot.job and not slot.job.first]
        for slot in sorted(reading, key=lambda s: s.job.admitted if s.job else 0.0):
            more = min(len(slot.pending) - 1, room)
            takes[slot.index] += more
            room -= more
        entries: list[tuple[int, int, int, bool]] = []
        for slot in active:
            self._fill(slot, takes[slot.index], entries)
        return entries

    def _turning(self, active: list[Slot]) -> list[Slot]:
        """Return those of the slots whose turn it is: a batch has rows of one adapter."""
        adapters = list(dict.fromkeys(slot.adapter for slot in active))
        if not adapters:
            return active
        last = self._adapter
        stays = last in adapters and (len(adapters) == 1 or self._turn < _TURN_STEPS)
        adapter = last if stays else self._next_adapter(adapters)
        if adapter != last:
            self._model.adapt(adapter)
            self._adapter, self._turn = adapter, 0
            self.tally.switches += 1
        self._turn += 1
        self._stepped[adapter] = self.tally.steps
        return [slot for slot in active if slot.adapter == adapter]

    def _next_adapter(self, adapters: list[Adapter | None]) -> Adapter | None:
        """Return the one that stepped longest ago."""
        others = [one for one in adapters if one != self._adapter] or adapters
        return min(others, key=lambda one: self._stepped.get(one, -1))

    def _fill(self, slot: Slot, take: int, entries: list[tuple[int, int, int, bool]]) -> None:
        slot.outputs = []
        last = len(slot.pending) - 1
        tokens = [*slot.pending, *slot.draft][:take]
        slot.draft = tokens[last + 1 :]
        for at, token in enumerate(tokens):
            wanted = at >= last
            if wanted:
                slot.outputs.append(len(entries))
            entries.append((token, slot.held + at, slot.index, wanted))
        slot.held += min(take, last + 1)
        slot.pending = slot.pending[take:]
        if slot.outputs and slot.job is not None:
            slot.masks = self._masks.submit(slot.job.constraint.masks, slot.draft)

    # --- decode

    def _decode(self, entries: list[tuple[int, int, int, bool]]) -> None:
        tokens, positions, sequences, wanted = (
            list(column) for column in zip(*entries, strict=True)
        )
        begun = time.perf_counter()
        self._model.decode(tokens, positions, sequences, wanted)
        self.tally.decode_s += time.perf_counter() - begun
        self.tally.steps += 1
        self.tally.evaluated += len(entries)

    # --- absorb

    def _absorb(self) -> list[Job]:
        ended = []
        for slot in self._slots:
            if slot.job is None or not slot.outputs:
                continue
            try:
                done = self._advance(slot, slot.job)
            except errors.InsightsError as exc:
                slot.job.error = exc
                done = True
            except MemoryError:
                raise
            except Exception as exc:  # noqa: BLE001 - one row must not end the others
                slot.job.error = Fault.of(exc).error()
                done = True
            slot.outputs = []
            if done:
                ended.append(self._end(slot))
        return ended

    def _advance(self, slot: Slot, job: Job) -> bool:
        """Take the next tokens of one row from its logits; return whether it ended."""
        if slot.masks is None:
            raise RuntimeError("a row with logits has masks")
        allowed, masks = slot.masks.result()
        slot.masks = None
        job.first = job.first or self._clock()
        draft, slot.draft = slot.draft, []
        accepted = 0
        for at, mask in enumerate(masks):
            logits = self._model.logits(slot.outputs[at])
            token = choose(logits, mask, job.sampling, job.random)
            job.sampled += 1
            job.weigh(logits, mask)
            if at < len(allowed) and token == allowed[at]:
                accepted += 1
                job.constraint.consume([token])
                job.output.append(token)
                continue
            break
        slot.held += accepted
        if draft:
            self._model.trim(slot.index, slot.held)
            self.tally.drafted += len(draft)
            self.tally.accepted += accepted
            if self._drafter:
                self._drafter.learn(job.pipeline, len(draft), accepted)
        job.constraint.consume([token])
        forced = job.constraint.forced()
        if forced:
            job.constraint.consume(forced)
            job.forced += len(forced)
        job.output += [token, *forced]
        if job.constraint.finished:
            return True
        if len(job.output) >= job.sampling.max_tokens:
            job.length = True
            return True
        slot.pending = [token, *forced]
        if self._drafter and sum(1 for s in self._slots if s.job) <= self._few:
            room = job.sampling.max_tokens - len(job.output)
            slot.draft = self._drafter.draft(job.pipeline, job.prompt, job.output)[:room]
        return False

    def _end(self, slot: Slot) -> Job:
        """Free a slot; its stream keeps the prompt for whoever shares it."""
        job = slot.job
        if job is None:
            raise RuntimeError("only a job ends")
        job.finished = self._clock()
        self._alone = False
        slot.job, slot.source, slot.masks = None, None, None
        slot.pending, slot.draft, slot.outputs = [], [], []
        slot.held = min(slot.held, len(job.prompt))
        slot.key = job.key[: 4 * slot.held]
        return job

    def _expire(self) -> list[Job]:
        now = self._clock()
        ended = []
        for job in [job for job in self._waiting if job.deadline <= now]:
            self._waiting.remove(job)
            ended.append(job)
        ended += [self._end(s) for s in self._slots if s.job and s.job.deadline <= now]
        for job in ended:
            job.finished = now
            job.error = errors.Overloaded("the generation's deadline passed before it was done")
        return ended
