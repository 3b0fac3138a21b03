"""The remote child: one OpenAI-compatible server (vLLM, llama-server, TGI) and its key.

What a server may answer better later (connection errors, 408, 409, 429 and 5xx) is asked again,
with exponential backoff and jitter or after the pause that the server names, until the request's
deadline. The supervisor waits for that one and a little longer, so that the end of "too slow" is an
error of ours, never a child that is killed. What still fails then is the provider's outage, never
the row's fault.
"""

import json
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
from openai.types.chat import ChatCompletionMessageParam

from insights import errors
from insights.inference import quotes
from insights.inference.messages import RemoteInit
from insights.inference.reserved import neutralised
from insights.inference.turns import Turns
from insights.model import GenerateRequest, Generation, Json, Message
from insights.steps import repeats
from insights.steps.schema import QUOTE, alternatives, closed, columns, generable, normal, walk
from insights.workers import serve

_TICK_S = 0.5  # how often queued requests are looked at whose time may have passed
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0  # as the openai client's own


class _Asked:
    """A call in the child: until when it may take, and whether anybody still waits for it."""

    def __init__(self, call: serve.Call) -> None:
        self.call = call
        self.request = call.decode(GenerateRequest)
        self.due = time.monotonic() + self.request.deadline_s
        self.given_up = threading.Event()
        self.answered = False

    def answer(self, remote: "Remote") -> None:
        """Ask the server, unless nobody waits any more."""
        try:
            if self.given_up.is_set():
                return
            self.call.reply(remote.generate(self.request, self.due, self.given_up))
        except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
            self.call.fail(exc)
        finally:
            self.answered = True


class _Waiting:
    """Calls that wait for one of `parallel` threads, in a line for each weight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[int, deque[_Asked]] = {}
        self._turns = Turns()

    def add(self, asked: _Asked) -> None:
        with self._lock:
            self._lines.setdefault(asked.request.weight, deque()).append(asked)

    def next(self) -> _Asked | None:
        """Take whose turn it is; None where the one that this turn was for has left."""
        with self._lock:
            if not self._lines:
                return None
            weight = self._turns.choose(self._lines)
            found = self._lines[weight][0]
            self._remove(found)
            self._turns.took(weight)
            return found

    def late(self, asked: _Asked) -> bool:
        """Tell whether its time passed before its turn came; then it is answered here."""
        if time.monotonic() < asked.due:
            return False
        with self._lock:
            if asked not in self._lines.get(asked.request.weight, ()):
                return False
            self._remove(asked)
        asked.call.fail(errors.ProviderUnavailable("no answer in time: others were before it"))
        return True

    def _remove(self, asked: _Asked) -> None:
        line = self._lines[asked.request.weight]
        line.remove(asked)
        if not line:
            del self._lines[asked.request.weight]

    def answer_next(self, remote: "Remote") -> None:
        if (asked := self.next()) is not None:
            asked.answer(remote)


def main() -> None:
    """Serve until the supervisor is gone, `parallel` requests at once."""
    with serve.connect() as server:
        init = server.init(RemoteInit)
        remote = Remote(init)
        with ThreadPoolExecutor(init.parallel, thread_name_prefix="remote") as pool:
            asked: dict[int, _Asked] = {}
            waiting = _Waiting()
            while True:
                for call in server.poll(_TICK_S if asked else None):
                    if not call.cancels:
                        one = asked[call.id] = _Asked(call)
                        waiting.add(one)
                        pool.submit(waiting.answer_next, remote)
                    elif (one_given_up := asked.pop(call.id, None)) is not None:
                        one_given_up.given_up.set()  # what is out cannot be called back
                asked = {
                    n: one for n, one in asked.items() if not (one.answered or waiting.late(one))
                }


class Remote:
    """The door to openai: generations from one server.

    Args:
        init: Where the server is, what it runs, and how long to try.
    """

    def __init__(self, init: RemoteInit) -> None:
        self._init = init
        self._client = connect(init)

    def generate(
        self, request: GenerateRequest, due: float, given_up: threading.Event
    ) -> Generation:
        """Return one generation by `due` (monotonic seconds), or none if it is given up.

        One whose quotes are not literal is asked for once more.

        Raises:
            errors.ProviderUnavailable: If the server is down, slow or limits us.
            errors.SettingsError: If it does not know our key or model.
            errors.RowError: If it refuses this request.
        """
        made = self._ask(request, "", due, given_up)
        missing = _unquoted(request, made)
        if missing:
            note = f"Copy {', '.join(missing)} word for word from the given text."
            made = self._ask(request, note, due, given_up)
        return made

    def _ask(
        self, request: GenerateRequest, note: str, due: float, given_up: threading.Event
    ) -> Generation:
        tries = 0
        while True:
            tries += 1
            try:
                return self._ask_once(request, note, due - time.monotonic())
            except errors.ProviderUnavailable as exc:
                pause = pause_s(tries, exc.__cause__)
                if tries > self._init.retries or time.monotonic() + pause >= due:
                    raise
                if given_up.wait(pause):
                    raise

    def _ask_once(self, request: GenerateRequest, note: str, left_s: float) -> Generation:
        if left_s <= 0:
            raise errors.ProviderUnavailable(
                "no answer in time", where=self._init.url, fix=fix(self._init)
            )
        asked = time.monotonic()
        with translated(self._init):
            answer = self._client.chat.completions.create(
                model=self._init.model,
                messages=[*map(_message, request.messages), *_notes(note)],
                temperature=request.sampling.temperature,
                seed=request.sampling.seed,
                max_tokens=request.sampling.max_tokens,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "output", "schema": _plain(request), "strict": True},
                },
                timeout=min(self._init.timeout_s, left_s),
            )
        choice = answer.choices[0]
        usage = answer.usage
        text = choice.message.content or ""
        made = Generation(
            text=text,
            finish="length" if choice.finish_reason == "length" else "stop",
            model=answer.model,
            route=f"remote:{self._init.name}",
            quotes=quotes.find_spans(
                _parsed(text),
                normal(request.output_schema),
                _sources(request),
                request.headings,
            ),
            quotes_by="check",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            sampled_tokens=usage.completion_tokens if usage else 0,
            compute_ms=1e3 * (time.monotonic() - asked),
        )
        return repeats.dropped(made, request.output_schema)


def pause_s(tries: int, cause: BaseException | None) -> float:
    """Return the pause before the next try, seconds: what the server says, or twice as long."""
    if isinstance(cause, openai.APIStatusError):
        said = cause.response.headers.get("retry-after", "")
        if said.isdecimal():
            return float(said)
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * float(1 << min(tries - 1, 10)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


def fix(init: RemoteInit) -> str:
    """Return what helps where a server does not answer."""
    where = f"{init.section}.url"
    if init.section.startswith("embedding"):
        return f"start the server, or correct {where}"
    return f"start the server, correct {where}, or name a file as the pipeline's fallback"


def connect(init: RemoteInit) -> openai.OpenAI:
    """Return a client of one server. It asks once: its own retries know no common deadline."""
    return openai.OpenAI(
        base_url=init.url,
        api_key=init.api_key or "none",
        timeout=init.timeout_s,
        max_retries=0,
        http_client=_transport(init),
    )


def _transport(init: RemoteInit) -> Any:  # noqa: ANN401 - the client's own type is not exported
    """Return a client that goes where the settings say, and nowhere else.

    It follows no redirect and takes no proxy from the environment: either would carry rows and the
    key to a host that nobody named.
    """
    context = ssl.create_default_context(cafile=init.ca_file)
    if init.client_cert:
        context.load_cert_chain(init.client_cert)
    return openai.DefaultHttpx2Client(
        verify=context, proxy=init.proxy, trust_env=False, follow_redirects=False
    )


@contextmanager
def translated(init: RemoteInit) -> Iterator[None]:
    """Translate what openai raises; messages keep the status and never the server's text."""
    url = init.url
    try:
        yield
    except (openai.AuthenticationError, openai.PermissionDeniedError) as exc:
        raise errors.SettingsError(
            "the server refuses the key",
            where=url,
            fix=f"correct the credential {init.section}.api_key",
        ) from exc
    except openai.NotFoundError as exc:
        raise errors.SettingsError(
            "the server knows no such model or path",
            where=url,
            fix=f"correct {init.section}.url and .model",
        ) from exc
    except (
        openai.APIConnectionError,  # timeouts too
        openai.RateLimitError,
        openai.InternalServerError,
        openai.ConflictError,
    ) as exc:
        raise errors.ProviderUnavailable(
            f"no answer ({type(exc).__name__})", where=url, fix=fix(init)
        ) from exc
    except openai.APIStatusError as exc:
        if exc.status_code == 408:  # noqa: PLR2004 - request timeout
            raise errors.ProviderUnavailable("no answer in time", where=url, fix=fix(init)) from exc
        raise errors.RowError(f"the server refuses it with {exc.status_code}", where=url) from exc
    except openai.OpenAIError as exc:
        raise errors.ProviderUnavailable(
            f"no usable answer ({type(exc).__name__})", where=url, fix=fix(init)
        ) from exc


def _message(message: Message) -> ChatCompletionMessageParam:
    content = "".join(
        segment.text if segment.is_template else neutralised(segment.text)
        for segment in message.segments
    )
    if message.role == "system":
        return {"role": "system", "content": content}
    if message.role == "assistant":
        return {"role": "assistant", "content": content}
    return {"role": "user", "content": content}


def _notes(note: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": note}] if note else []


def _plain(request: GenerateRequest) -> Json:
    """Return the schema without our own keywords, with abstention as the alternative."""
    schema: Json = json.loads(json.dumps(generable(closed(normal(request.output_schema)))))
    for _, part in list(walk(schema)):
        for key in [key for key in part if key.startswith("x-")]:
            del part[key]
    definitions: Json = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    if branches := alternatives(schema):  # the properties beside them only list them
        schema = {"anyOf": list(branches)}
    if not request.abstain:
        return {**schema, **definitions}
    abstention = {
        "type": "object",
        "properties": {"abstain": {"enum": list(request.abstain)}},
        "required": ["abstain"],
        "additionalProperties": False,
    }
    return {"anyOf": [schema, abstention], **definitions}


def _sources(request: GenerateRequest) -> dict[str, str]:
    return {
        **{f"row.{column}": text for column, text in request.row.items()},
        **{f"passage.{number}": text for number, text in request.passages.items()},
    }


def _parsed(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return None
    return parsed


def _unquoted(request: GenerateRequest, made: Generation) -> list[str]:
    """Return the top-level quote fields whose value stands in no source."""
    output = _parsed(made.text)
    if not isinstance(output, dict):
        return []
    found = {span.field.split("/")[1] for span in made.quotes}
    properties = columns(request.output_schema)
    return [
        name
        for name, value in output.items()
        if value is not None and QUOTE in properties.get(name, {}) and name not in found
    ]


if __name__ == "__main__":
    main()
