"""The supervisor must answer signals at all times: what can hang or crash lives in children."""

import subprocess
import sys

import pytest

HEAVY = {
    "pyodbc",
    "arrow_odbc",
    "torch",
    "llama_cpp",
    "llguidance",
    "sentence_transformers",
    "alembic",
    "lxml",
    "mammoth",
    "pypdfium2",
    "python_calamine",
    "oxmsg",
    "pptx",
    "striprtf",
    "yaml",
    "charset_normalizer",
    "cryptography",
    "insights.documents.formats",
}


@pytest.mark.parametrize(
    "module", ["insights.wiring.app", "insights.service.daemon", "insights.cli"]
)
def test_it_loads_nothing_that_can_hang_or_crash(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert HEAVY.isdisjoint(loaded)
