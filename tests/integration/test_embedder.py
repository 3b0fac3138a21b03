"""The embedder's process: what it returns, and what becomes of its callers when it dies."""

import json
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from insights import errors
from insights.embedding import client as embedder_client
from insights.embedding.client import EmbedderClient
from insights.embedding.embedder import Encoder
from insights.embedding.files import ModelFiles
from insights.embedding.messages import EmbedderInit


@pytest.fixture(scope="module")
def embedder() -> Iterator[EmbedderClient]:
    client = EmbedderClient(ModelFiles(), threads=1)
    yield client
    client.close()


def _values(vector: bytes) -> tuple[float, ...]:
    size, unused = struct.unpack_from(">hh", vector)
    assert unused == 0
    return struct.unpack_from(f">{size}e", vector, 4)


def _cosine(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(_values(one), _values(other), strict=True))


def test_vectors_are_unit_halfvecs_in_the_order_of_the_texts(
    embedder: EmbedderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_client, "_TEXTS", 2)
    texts = ["The printer is jammed. " * 20, "VPN", "Paper is stuck in the printer", ""]
    vectors = embedder.embed(texts, "document")
    assert [len(_values(vector)) for vector in vectors] == [embedder.model.dimensions] * 4
    assert all(_cosine(vector, vector) == pytest.approx(1, abs=5e-3) for vector in vectors)
    query = embedder.embed(["printer jam"], "query")[0]
    near = [_cosine(query, vector) for vector in vectors]
    assert min(near[0], near[2]) > 0.5 > max(near[1], near[3])


def test_callers_that_wait_together_get_their_own_vectors(embedder: EmbedderClient) -> None:
    texts = [f"text number {n} about {n * 7}" for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        apart = list(pool.map(lambda text: embedder.embed([text], "query")[0], texts))
    together = embedder.embed(texts, "query")
    assert all(_cosine(a, b) > 0.999 for a, b in zip(apart, together, strict=True))


def test_a_killed_embedder_fails_the_call_and_serves_the_next(embedder: EmbedderClient) -> None:
    embedder.embed(["warm"], "query")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(embedder.embed, ["many words " * 200] * 400, "document")
        os.kill(embedder.pid or 0, signal.SIGKILL)
        with pytest.raises(errors.WorkerDied):
            waiting.result()
    assert len(embedder.embed(["again"], "query")) == 1


def test_weights_that_are_no_weights_are_refused_by_name(tmp_path: Path) -> None:
    source = ModelFiles().path
    for file in source.rglob("*"):
        if file.is_file() and file.suffix in {".json", ".txt"}:
            copy = tmp_path / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    client = EmbedderClient(ModelFiles(tmp_path))
    with pytest.raises(errors.ModelError, match="cannot be loaded") as raised:
        client.embed(["x"], "query")
    assert raised.value.where == str(tmp_path)
    client.close()


def test_the_models_own_prompts_stand_before_queries_and_documents(
    embedder: EmbedderClient, tmp_path: Path
) -> None:
    shutil.copytree(ModelFiles().path, tmp_path / "prompted")
    settings = tmp_path / "prompted" / "config_sentence_transformers.json"
    settings.write_text(
        json.dumps({"prompts": {"query": "ask: ", "document": "tell: "}}), encoding="utf-8"
    )
    prompted = EmbedderClient(ModelFiles(tmp_path / "prompted"), threads=1)
    try:
        asked = prompted.embed(["paper jam"], "query")[0]
        told = prompted.embed(["paper jam"], "document")[0]
    finally:
        prompted.close()
    plain = embedder.embed(["ask: paper jam", "tell: paper jam"], "query")
    assert _cosine(asked, plain[0]) > 0.999 > _cosine(asked, plain[1])
    assert _cosine(told, plain[1]) > 0.999 > _cosine(told, plain[0])


def test_a_cross_encoder_judges_each_pair_alike_in_any_company(tmp_path: Path) -> None:
    torch.manual_seed(3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(ModelFiles().path)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=1,
            initializer_range=0.5,  # far enough apart to be told from each other
        )
    ).eval()
    model.save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    texts = ["Open the rear flap.", "Order toner.", "A long one. " * 60]
    pairs = tokenizer(
        ["paper jam"] * 3, texts, padding=True, truncation=True, max_length=512, return_tensors="pt"
    )
    with torch.no_grad():
        wanted = torch.sigmoid(model(**pairs).logits[:, 0]).tolist()
    client = EmbedderClient(ModelFiles(), reranker=tmp_path / "judge", threads=1)
    try:
        assert client.rerank("paper jam", texts) == pytest.approx(wanted, abs=1e-4)
        assert client.rerank("paper jam", texts[1:2]) == pytest.approx(wanted[1:2], abs=1e-4)
    finally:
        client.close()
    assert len({round(value, 3) for value in wanted}) == 3


def test_files_that_changed_after_they_were_checked_are_not_loaded(tmp_path: Path) -> None:
    shutil.copytree(ModelFiles().path, tmp_path / "model")
    client = EmbedderClient(ModelFiles(tmp_path / "model"), threads=1)
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text() + " ")
    try:
        with pytest.raises(errors.ModelError, match="not the pinned model"):
            client.embed(["paper jam"], "query")
    finally:
        client.close()


def test_reranking_without_a_reranker_says_what_to_set(embedder: EmbedderClient) -> None:
    with pytest.raises(errors.SettingsError, match="no reranking model") as raised:
        embedder.rerank("paper jam", ["text"])
    assert "reranker" in raised.value.fix


def test_an_embedder_that_cannot_compute_here_is_nobodys_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:  # noqa: ANN401
        dies = "import os; os.kill(os.getpid(), 4)"  # as of an illegal instruction
        return real([command[0], "-c", dies], **options)

    monkeypatch.setattr("insights.workers.process.subprocess.Popen", start)
    client = EmbedderClient(ModelFiles(), threads=1)
    try:
        with pytest.raises(errors.ModelError, match=r"SIGILL \(illegal instruction\).*no row"):
            client.embed(["a"], "query")
    finally:
        client.close()


def test_a_model_that_computes_no_numbers_is_refused_at_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Encoder(EmbedderInit(path=str(ModelFiles().path), threads=1))
    encoder.prove()
    monkeypatch.setattr(encoder, "_vectors", lambda *_: np.full((2, 384), np.nan))
    with pytest.raises(errors.ModelError, match="nothing of use"):
        encoder.prove()
