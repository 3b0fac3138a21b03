"""The remote child: one OpenAI-compatible server (vLLM, llama-server, TGI) and its key.

The openai client retries by itself, with exponential backoff and jitter, on connection errors, 408,
409, 429 and 5xx. What is still failing then is the provider's outage, never the row's fault.
"""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import openai
from openai.types.chat import ChatCompletionMessageParam

from insights import errors
from insights.inference import quotes
from insights.inference.messages import RemoteInit
from insights.inference.reserved import neutralised
from insights.model import GenerateRequest, Generation, Json, Message
from insights.steps.schema import QUOTE, alternatives, closed, columns, normal, walk
from insights.workers import serve


def main() -> None:
    """Serve until the supervisor is gone, `parallel` requests at once."""
    with serve.connect() as server:
        init = server.init(RemoteInit)
        remote = Remote(init)
        with ThreadPoolExecutor(init.parallel, thread_name_prefix="remote") as pool:
            waiting: dict[int, Future[None]] = {}
            while True:
                for call in server.poll(None):
                    if call.cancels:  # what is already out cannot be called back
                        waiting.pop(call.id, Future()).cancel()
                        continue
                    waiting = {n: made for n, made in waiting.items() if not made.done()}
                    waiting[call.id] = pool.submit(_answer, remote, call)


def _answer(remote: "Remote", call: serve.Call) -> None:
    try:
        call.reply(remote.generate(call.decode(GenerateRequest)))
    except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
        call.fail(exc)


class Remote:
    """The door to openai: generations from one server.

    Args:
        init: Where the server is, what it runs, and how long to try.
    """

    def __init__(self, init: RemoteInit) -> None:
        self._init = init
        self._client = openai.OpenAI(
            base_url=init.url,
            api_key=init.api_key or "none",
            timeout=init.timeout_s,
            max_retries=init.retries,
        )

    def generate(self, request: GenerateRequest) -> Generation:
        """Return one generation; one whose quotes are not literal is asked for once more.

        Raises:
            errors.ProviderUnavailable: If the server is down, slow or limits us.
            errors.SettingsError: If it does not know our key or model.
            errors.RowError: If it refuses this request.
        """
        made = self._ask(request, "")
        missing = _unquoted(request, made)
        if missing:
            note = f"Copy {', '.join(missing)} word for word from the given text."
            made = self._ask(request, note)
        return made

    def _ask(self, request: GenerateRequest, note: str) -> Generation:
        with _translated(self._init.url):
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
                timeout=min(self._init.timeout_s, request.deadline_s),
            )
        choice = answer.choices[0]
        usage = answer.usage
        text = choice.message.content or ""
        return Generation(
            text=text,
            finish="length" if choice.finish_reason == "length" else "stop",
            model=answer.model,
            route=f"remote:{self._init.name}",
            quotes=quotes.find_spans(
                _parsed(text), normal(request.output_schema), _sources(request)
            ),
            quotes_by="check",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            sampled_tokens=usage.completion_tokens if usage else 0,
        )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Translate what openai raises; messages keep the status and never the server's text."""
    try:
        yield
    except (openai.AuthenticationError, openai.PermissionDeniedError) as exc:
        raise errors.SettingsError(
            "the server refuses the key", where=url, fix="correct the credential model.api_key"
        ) from exc
    except openai.NotFoundError as exc:
        raise errors.SettingsError(
            "the server knows no such model or path", where=url, fix="correct model.url and .model"
        ) from exc
    except (
        openai.APIConnectionError,  # timeouts too
        openai.RateLimitError,
        openai.InternalServerError,
        openai.ConflictError,
    ) as exc:
        raise errors.ProviderUnavailable(f"no answer ({type(exc).__name__})", where=url) from exc
    except openai.APIStatusError as exc:
        if exc.status_code == 408:  # noqa: PLR2004 - request timeout
            raise errors.ProviderUnavailable("no answer in time", where=url) from exc
        raise errors.RowError(f"the server refuses it with {exc.status_code}", where=url) from exc
    except openai.OpenAIError as exc:
        raise errors.ProviderUnavailable(
            f"no usable answer ({type(exc).__name__})", where=url
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
    schema: Json = json.loads(json.dumps(closed(normal(request.output_schema))))
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
