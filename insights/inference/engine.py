"""One loaded model and everything in flight on it: requests in, generations out."""

import hashlib
import json
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec

from insights import errors
from insights.inference import (
    adapters,
    chat_names,
    cores,
    llama,
    machine,
    planner,
    probing,
    proving,
    tuning,
    weights,
)
from insights.inference.batcher import Batcher
from insights.inference.chat import ChatTemplate
from insights.inference.confidence import has_closed
from insights.inference.constraint import Compiler, Constraint
from insights.inference.drafting import Drafter
from insights.inference.messages import Counters, GeneratorInit
from insights.inference.preparing import Prepared, prepare
from insights.inference.reserved import Reserved
from insights.inference.slots import Job
from insights.model import AdaptedRequest, Adapter, GenerateRequest, Generation, ModelInfo, Span
from insights.steps import repeats
from insights.steps.validate import ABSTAIN
from insights.workers.channel import Fault

Answer = Callable[[Generation | errors.InsightsError], None]
_SHRINKS = 4  # halvings tried when llama.cpp cannot get the memory of a plan


@dataclass(eq=False)
class _Flight:
    """One generation under way, and everybody who waits for it."""

    request: GenerateRequest
    identity: bytes
    submitted: float
    model: str = ""  # and the adapter that it is made under
    answers: list[Answer] = field(default_factory=list)
    prepared: Prepared | None = None
    constraint: Constraint | None = None


class Engine:
    """Generation with one model. All methods belong to one thread.

    Args:
        init: The model and how to run it.

    Raises:
        errors.ModelError: If the file is not the one named, is damaged, or does not fit.
    """

    def __init__(self, init: GeneratorInit) -> None:
        here = machine.measure(gpu=llama.gpu(), gpu_memory=llama.free_memory())
        with weights.ModelFile(Path(init.path)) as file:
            self._weights = file.inspect()
            self._sha256 = file.verify(init.sha256)
            subject = tuning.Subject(self._sha256, machine.name(), llama.build())
            self._tuned = tuning.find(Path(init.tuned), subject) if init.tuned else None
            self._flash = probing.flash(self._weights, here, init.engine, self._tuned)
            self._adapters = adapters.Adapters(init.adapters, file)
            self.plan = self._plan(here, init, init.shrink)
            self._model = llama.Model(file.opened, gpu_layers=self.plan.gpu_layers, name=file.path)
        self._adapters.load(self._model)  # before the context, which reserves room for them
        self._context = self._make_context(here, init)
        text, origin = chat_names.of_model(
            self._model.chat_template,
            self._model.is_control,
            chosen=init.chat_template,
            where=self._weights.path,
        )
        self._template = ChatTemplate(text, self._model, origin=origin, where=self._weights.path)
        self._template.check()
        self._reserved = Reserved(self._model, self._template.literals())
        self._compiler = Compiler(self._model.vocab, self._model.ends)
        # Apart: rows that arrive together must not hold up the masks of rows that write.
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._arrivals = ThreadPoolExecutor(1, thread_name_prefix="arrivals")
        self._batcher = Batcher(
            self._context,
            parallel=self.plan.parallel,
            batch=self.plan.batch,
            chunk=self.plan.micro_batch,
            run=self.plan.run,
            few=self.plan.few,
            masks=self._masks,
            drafter=Drafter() if init.engine.drafting else None,
        )
        chosen = init.engine.threads is None and not self.plan.gpu_layers
        self._gauge = cores.Gauge(self.plan.threads) if chosen else None
        self._threads_why = planner.threads_why(
            self._weights, self.plan, init.engine, self._tuned, host=str(cores.share())
        )
        self._numbers = count()
        self._preparing: dict[Future[Job | Generation], _Flight] = {}
        self._running: dict[int, _Flight] = {}
        self._identical: dict[bytes, _Flight] = {}
        self._counters = Counters()

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._preparing) or self._batcher.busy

    def info(self) -> ModelInfo:
        """Return the model's identity and limits."""
        return ModelInfo(
            name=self._weights.name,
            sha256=self._sha256,
            chat_template_sha256=self._template.sha256,
            chat_template=self._template.origin,
            context=self._context.sequence_tokens,
            parallel=self.plan.parallel,
            device="gpu" if self.plan.gpu_layers else "cpu",
            threads=self._gauge.threads if self._gauge else self.plan.threads,
            description=self._model.description,
        )

    def submit(self, request: GenerateRequest, answer: Answer) -> None:
        """Start one generation; `answer` is called from `step` with the outcome.

        A request identical to one in flight shares its generation.
        """
        identity = _identity(request)
        flight = self._identical.get(identity)
        if flight is None:
            flight = _Flight(request, identity, time.monotonic())
            self._identical[identity] = flight
            self._preparing[self._arrivals.submit(self._prepare, flight)] = flight
        flight.answers.append(answer)

    def prove(self) -> None:
        """Make one short constrained generation in each sequence, as the plan will.

        A build that cannot run here dies now, while no row is in flight.

        Raises:
            errors.ModelError: If it makes no output.
        """
        self._adapters.prove(self._context, self._model.tokenize("0 1 2 3", special=False))
        jobs = proving.jobs(self._compiler, self._model, self._numbers, self.plan.parallel)
        proving.prove(self._batcher, jobs, where=self._weights.path)

    def check(self, roles: Sequence[str], adapter: str = "") -> None:
        """Refuse a prompt whose messages the chat template cannot say, or an adapter not loaded.

        Raises:
            errors.ModelError: If it cannot be rendered, or leaves a message out; why it was not.
        """
        if adapter:
            self._adapters.name(Adapter(sha256=adapter))
        if roles:
            self._template.check(roles)

    def cancel(self, answer: Answer) -> None:
        """Give up a generation that `answer` waits for; it is never called then.

        The generation itself ends at once, unless others share it.
        """
        for flight in self._identical.values():
            if answer in flight.answers:
                flight.answers.remove(answer)
                break
        else:
            return  # it has been answered meanwhile
        if flight.answers:
            return
        del self._identical[flight.identity]
        self._count(cancelled_rows=1)
        for number in [n for n, running in self._running.items() if running is flight]:
            del self._running[number]
            self._batcher.cancel(number)

    def step(self) -> None:
        """Run one batch and answer whoever is done."""
        begun = time.perf_counter()
        if not self._batcher.busy:
            wait(self._preparing, return_when="FIRST_COMPLETED")
        for future in [future for future in self._preparing if future.done()]:
            flight = self._preparing.pop(future)
            if not flight.answers:  # cancelled while it was prepared
                continue
            try:
                job = future.result()
            except errors.InsightsError as exc:
                self._settle(flight, exc)
            except MemoryError:
                raise
            except Exception as exc:  # noqa: BLE001 - one bad row must not end the others
                self._settle(flight, Fault.of(exc).error())
            else:
                if isinstance(job, Generation):
                    self._count(rows=1, forced_tokens=job.forced_tokens)
                    self._settle(flight, job)
                    continue
                self._running[job.number] = flight
                self._batcher.submit(job)
        self._fit_threads()
        for job in self._batcher.step():
            self._finish(self._running.pop(job.number), job)
        self._count(busy_s=time.perf_counter() - begun)

    def _fit_threads(self) -> None:
        """Work with as many threads as others leave cores, unless the settings say how many."""
        if self._gauge is not None and self._gauge.look():
            self._context.use(self._gauge.threads)

    def counters(self) -> Counters:
        """Return what was done since the start."""
        tally = self._batcher.tally
        return msgspec.structs.replace(
            self._counters,
            steps=tally.steps,
            adapter_switches=tally.switches,
            worked_tokens=tally.evaluated,
            evaluated_prompt_tokens=self._counters.prompt_tokens - self._counters.reused_tokens,
            drafted_tokens=tally.drafted,
            accepted_tokens=tally.accepted,
            decode_s=tally.decode_s,
            threads=self._gauge.threads if self._gauge else self.plan.threads,
            threads_why=self._threads_why + (self._gauge.says() if self._gauge else ""),
            cells=self.plan.context * self.plan.parallel,
            cells_used=self._batcher.cells,
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )

    def close(self) -> None:
        """Free everything; what is in flight is dropped."""
        self._arrivals.shutdown()
        self._masks.shutdown()
        self._context.close()
        self._model.close()

    def _plan(self, here: planner.Machine, init: GeneratorInit, shrink: int) -> planner.Plan:
        return planner.plan(
            self._weights,
            here,
            init.engine,
            tuned=self._tuned,
            flash=self._flash,
            shrink=shrink,
            adapters=self._adapters.bytes,
        )

    def _make_context(self, here: planner.Machine, init: GeneratorInit) -> llama.Context:
        """Make the context, with a smaller plan each time that memory does not suffice."""
        for shrink in range(init.shrink, init.shrink + _SHRINKS):
            try:
                return llama.Context(self._model, self.plan)
            except errors.ModelError:
                smaller = self._plan(here, init, shrink + 1)
                if smaller == self.plan:
                    raise
                self.plan = smaller
        return llama.Context(self._model, self.plan)

    def _finish(self, flight: _Flight, job: Job) -> None:
        try:
            outcome = job.error or self._generation(flight, job)
        except errors.InsightsError as exc:
            outcome = exc
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - one bad row must not end the others
            outcome = Fault.of(exc).error()
        self._settle(flight, outcome)

    def _prepare(self, flight: _Flight) -> Job | Generation:
        """Tokenize and compile, in a thread beside: neither touches the context.

        An output of which every token is forced needs no model: it is answered at once.
        """
        request = flight.request
        adapter = request.adapter if isinstance(request, AdaptedRequest) else None
        flight.model = f"{self._weights.name}{self._adapters.name(adapter)}"
        prepared = prepare(
            request, self._template, self._model, self._context.sequence_tokens, self._reserved
        )
        constraint = self._compiler.constraint(
            request.output_schema,
            request.abstain,
            prepared.row,
            prepared.passages,
            request.headings,
        )
        if constraint.impossible:
            text = json.dumps({ABSTAIN: constraint.impossible}, ensure_ascii=False)
            return self._unsampled(text, flight, prepared)
        forced = constraint.forced()
        constraint.consume(forced)
        if constraint.finished:
            text, spans = constraint.text, constraint.spans()
            return self._unsampled(text, flight, prepared, len(forced), spans)
        flight.prepared, flight.constraint = prepared, constraint
        room = self._context.sequence_tokens - len(prepared.tokens)
        most = min(request.sampling.max_tokens, room) - 1
        return Job(
            number=next(self._numbers),
            prompt=[*prepared.tokens, *forced],
            constraint=constraint,
            sampling=msgspec.structs.replace(request.sampling, max_tokens=most),
            deadline=flight.submitted + request.deadline_s,
            submitted=flight.submitted,
            pipeline=_pipeline(request),
            forced=len(forced),
            output=list(forced),
            weight=request.weight,
            adapter=adapter,
            weighs=has_closed(request.output_schema),
        )

    def _unsampled(
        self,
        text: str,
        flight: _Flight,
        prepared: Prepared,
        forced: int = 0,
        quotes: tuple[Span, ...] = (),
    ) -> Generation:
        """Return a generation that no model was asked for."""
        return Generation(
            text=text,
            finish="stop",
            model=flight.model,
            quotes=quotes,
            cut=prepared.cut,
            forced_tokens=forced,
            queue_ms=1e3 * (time.monotonic() - flight.submitted),
        )

    def _generation(self, flight: _Flight, job: Job) -> Generation:
        prepared, constraint = flight.prepared, flight.constraint
        if prepared is None or constraint is None:
            raise RuntimeError("a job was prepared")
        self._count(
            rows=1,
            prompt_tokens=len(prepared.tokens),
            reused_tokens=job.reused,
            forced_tokens=job.forced,
            sampled_tokens=job.sampled,
        )
        made = Generation(
            text=constraint.text,
            finish="length" if job.length else "stop",
            model=flight.model,
            quotes=() if job.length else constraint.spans(),
            confidence={} if job.length else constraint.confidence(job.steps),
            cut=prepared.cut,
            prompt_tokens=len(prepared.tokens),
            reused_tokens=job.reused,
            sampled_tokens=job.sampled,
            forced_tokens=job.forced,
            queue_ms=1e3 * (job.admitted - job.submitted),
            prompt_ms=1e3 * (job.first - job.admitted),
            decode_ms=1e3 * (job.finished - job.first),
            compute_ms=1e3 * job.compute_s,
        )
        return repeats.dropped(made, flight.request.output_schema)

    def _settle(self, flight: _Flight, outcome: Generation | errors.InsightsError) -> None:
        del self._identical[flight.identity]
        for at, answer in enumerate(flight.answers):
            if at and isinstance(outcome, Generation):
                self._count(shared_rows=1)
                answer(msgspec.structs.replace(outcome, shared=True))
            else:
                answer(outcome)

    def _count(self, **added: float) -> None:
        now = {name: getattr(self._counters, name) + value for name, value in added.items()}
        self._counters = msgspec.structs.replace(self._counters, **now)


def _identity(request: GenerateRequest) -> bytes:
    """Return what makes two requests the same generation: everything but their time allowed."""
    same = msgspec.structs.replace(request, deadline_s=0.0)
    return hashlib.blake2b(msgspec.msgpack.encode(same)).digest()


def _pipeline(request: GenerateRequest) -> str:
    return msgspec.json.encode(request.output_schema).decode()
