"""The child of a server that embeds and judges: OpenAI's protocol, or text-embeddings-inference's.

Embeddings: `POST embeddings` or `POST /embed`. Relevances: `POST rerank` in both, as vLLM and
llama-server have it or as text-embeddings-inference has. Every answer is checked: as many vectors
as texts, each as long as it must be, finite, not zero. What a server may answer better later is
asked again, as `insights.inference.remote` does for generations.
"""

import math
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard

from tokenizers import Tokenizer

from insights import errors
from insights.inference.remote import connect, fix, pause_s, translated
from insights.inference.vectors_messages import (
    CHECK,
    RelevancesReply,
    RelevancesRequest,
    VectorsInit,
    VectorsReply,
    VectorsRequest,
)
from insights.model import Json
from insights.workers import serve

_SPECIAL_TOKENS = 2  # the model's own, before and after the text
_PARALLEL = 4  # calls that are out at once
_OF_THE_TEXT = (400, 413, 422)  # what servers say to a text that is too long for their model
_CUTS = 3  # how often a text that the server refuses is halved


def main() -> None:
    """Serve until the supervisor is gone."""
    with serve.connect() as server:
        vectors = RemoteVectors(server.init(VectorsInit))
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="vectors") as pool:
            while True:
                for call in server.poll(None):
                    if not call.cancels:
                        pool.submit(_answer, vectors, call)


def _answer(vectors: "RemoteVectors", call: serve.Call) -> None:
    try:
        if call.method == "rerank":
            call.reply(vectors.rerank(call.decode(RelevancesRequest)))
        else:
            call.reply(vectors.embed(call.decode(VectorsRequest)))
    except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
        call.fail(exc)


class RemoteVectors:
    """Vectors and relevances of one server.

    Args:
        init: Where it is, what it runs, what its answers must look like.

    Raises:
        errors.ModelError: If the tokenizer cannot be read.
    """

    def __init__(self, init: VectorsInit) -> None:
        self._init = init
        self._client = connect(init.server)
        self._tokenizer: Tokenizer | None = None
        if init.tokenizer:
            try:
                self._tokenizer = Tokenizer.from_file(init.tokenizer)
            except Exception as exc:  # the Rust library raises plain Exception
                raise errors.ModelError(
                    f"the tokenizer cannot be read: {exc}", where=init.tokenizer
                ) from exc
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def embed(self, request: VectorsRequest) -> VectorsReply:
        """Return a unit vector for each text, and that of the check text for each request made.

        Raises:
            errors.ProviderUnavailable: If the server is down, slow or limits us.
            errors.ModelError: If its answers are no vectors of this model.
            errors.SettingsError: If it does not know our key or model, or refuses every text.
        """
        due = time.monotonic() + request.deadline_s
        prompt = self._init.query_prompt if request.kind == "query" else self._init.document_prompt
        vectors: list[bytes] = []
        checks: list[bytes] = []
        for start in range(0, len(request.texts), self._init.texts):
            batch = request.texts[start : start + self._init.texts]
            texts = [CHECK, *(self._cut(prompt + text) for text in batch)]
            check, *made = self._embedded(texts, due)
            checks.append(check)
            vectors.extend(made)
        return VectorsReply(vectors=tuple(vectors), checks=tuple(checks))

    def rerank(self, request: RelevancesRequest) -> RelevancesReply:
        """Return a relevance from 0 to 1 for each text; errors as those of `embed`."""
        due = time.monotonic() + request.deadline_s
        values: list[float] = []
        for start in range(0, len(request.texts), self._init.texts):
            batch = request.texts[start : start + self._init.texts]
            values.extend(self._judged(request.query, batch, due))
        return RelevancesReply(values=tuple(values))

    def _cut(self, text: str) -> str:
        """Return as much of a text as the model reads: servers refuse what is longer."""
        if self._tokenizer is None:
            return text
        found = self._tokenizer.encode(text, add_special_tokens=False)
        room = self._init.max_tokens - _SPECIAL_TOKENS
        return text if len(found.ids) <= room else text[: found.offsets[room - 1][1]]

    def _embedded(self, texts: Sequence[str], due: float) -> list[bytes]:
        try:
            answer = self._ask(*self._question(texts), due)
        except errors.RowError:
            if len(texts) > 1:  # one of them, or all: each by itself tells
                return [self._embedded([text], due)[0] for text in texts]
            answer = self._shorter(texts[0], due)
        return [self._halfvec(vector) for vector in self._listed(answer, len(texts))]

    def _listed(self, answer: Any, count: int) -> list[object]:  # noqa: ANN401 - what a server says
        """Return the vectors of an answer, one for each text."""
        if self._init.protocol == "openai":
            return [one.get("embedding") for one in self._ordered(answer, "data", count)]
        if not isinstance(answer, list) or len(answer) != count:
            raise self._wrong(f"no list of {count} vectors")
        return answer

    def _question(self, texts: Sequence[str]) -> tuple[str, Json]:
        if self._init.protocol == "tei":
            return "/embed", {"inputs": list(texts), "normalize": True, "truncate": True}
        return "/embeddings", {
            "model": self._init.server.model,
            "input": list(texts),
            "encoding_format": "float",
        }

    def _shorter(self, text: str, due: float) -> Any:  # noqa: ANN401 - what a server says
        """Ask for the beginning of a text that the server refuses: its tokenizer is another one."""
        for _ in range(_CUTS):
            text = text[: max(len(text) // 2, 1)]
            try:
                return self._ask(*self._question([text]), due)
            except errors.RowError:
                continue
        raise errors.SettingsError(
            f"the server refuses a text of {len(text)} characters",
            where=self._init.server.url,
            fix=f"name the model's own {self._init.server.section}.tokenizer and .max_tokens",
        )

    def _judged(self, query: str, texts: Sequence[str], due: float) -> list[float]:
        query, texts = self._cut(query), [self._cut(text) for text in texts]
        if self._init.protocol == "tei":
            body: Json = {"query": query, "texts": texts, "truncate": True}
            found = self._ordered(self._judge(body, due), "", len(texts))
            scores = [one.get("score") for one in found]
        else:
            body = {"model": self._init.server.model, "query": query, "documents": texts}
            found = self._ordered(self._judge(body, due), "results", len(texts))
            scores = [one.get("relevance_score") for one in found]
        return [self._relevance(score) for score in scores]

    def _judge(self, body: Json, due: float) -> Any:  # noqa: ANN401 - what a server says
        try:
            return self._ask("/rerank", body, due)
        except errors.RowError as exc:
            raise errors.SettingsError(
                "the server refuses to judge passages",
                where=self._init.server.url,
                fix=f"correct {self._init.server.section}.model, .tokenizer and .max_tokens",
            ) from exc

    def _ask(self, path: str, body: Json, due: float) -> Any:  # noqa: ANN401 - what a server says
        tries, server = 0, self._init.server
        while True:
            tries += 1
            try:
                return self._ask_once(path, body, due - time.monotonic())
            except errors.ProviderUnavailable as exc:
                pause = pause_s(tries, exc.__cause__)
                if tries > server.retries or time.monotonic() + pause >= due:
                    raise
                time.sleep(pause)

    def _ask_once(self, path: str, body: Json, left_s: float) -> Any:  # noqa: ANN401
        server = self._init.server
        if left_s <= 0:
            raise errors.ProviderUnavailable("no answer in time", where=server.url, fix=fix(server))
        try:
            with translated(server):
                return self._client.post(
                    path,
                    cast_to=object,
                    body=body,
                    options={"timeout": min(server.timeout_s, left_s)},
                )
        except errors.RowError as exc:
            status = getattr(exc.__cause__, "status_code", None)
            if status in _OF_THE_TEXT:
                raise
            raise errors.SettingsError(
                f"the server answers with {status}",
                where=server.url,
                fix=f"correct {server.section}.url and .protocol",
            ) from exc

    def _ordered(self, answer: Any, name: str, count: int) -> list[Json]:  # noqa: ANN401
        """Return the entries of an answer by their `index`, which names each text once."""
        entries = answer.get(name) if name and isinstance(answer, dict) else answer
        if isinstance(entries, list) and all(isinstance(one, dict) for one in entries):
            by_index = {one.get("index"): one for one in entries}
            if len(entries) == count and by_index.keys() == set(range(count)):
                return [by_index[index] for index in range(count)]
        raise self._wrong(f"no list of {count} entries, one for each text")

    def _halfvec(self, vector: object) -> bytes:
        """Return a vector at length 1 in pgvector's binary format."""
        count = self._init.dimensions
        if not isinstance(vector, list) or len(vector) != count:
            length = len(vector) if isinstance(vector, list) else "no"
            raise self._wrong(f"a vector of {length} instead of {count} numbers")
        if not all(_is_number(value) for value in vector):
            raise self._wrong("a vector that is not of finite numbers")
        norm = math.hypot(*vector)
        if not 0 < norm < math.inf:
            raise self._wrong("a vector without a direction")
        return struct.pack(f">HH{count}e", count, 0, *(value / norm for value in vector))

    def _relevance(self, score: object) -> float:
        if not _is_number(score):
            raise self._wrong("a relevance that is no number")
        if self._init.logits:
            return 1 / (1 + math.exp(-max(min(score, 700.0), -700.0)))
        if not 0 <= score <= 1:
            raise errors.SettingsError(
                f"the server's relevance is {score:.3g}, not between 0 and 1",
                where=self._init.server.url,
                fix=f'set scores = "logits" in [{self._init.server.section}]',
            )
        return score

    def _wrong(self, what: str) -> errors.ModelError:
        return errors.ModelError(
            f"the server answered with {what}",
            where=self._init.server.url,
            fix=f"correct {self._init.server.section}.model, .protocol and .dimensions",
        )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


if __name__ == "__main__":
    main()
