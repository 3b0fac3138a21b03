"""Says what a bundle is made of: a CycloneDX 1.6 document (cyclonedx.org) of its files.

Written from the wheels themselves, so that each component has the hash of the file that is shipped
and the licence that it states. Generators that look at an environment know no files, those that
look at a requirements file no licences.
"""

import email.parser
import email.policy
import json
import re
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wheels

_SPDX = re.compile(r"^[A-Za-z0-9.+-]+$")
_COMPILED_IN = {  # within llama-cpp-python's wheel
    "llama.cpp": ("MIT", "https://github.com/ggml-org/llama.cpp"),
    "libgomp": ("GPL-3.0-or-later WITH GCC-exception-3.1", "https://gcc.gnu.org"),
}


def document(stage: Path, project: Mapping[str, Any]) -> str:
    """Return the SBOM of a bundle's folder as JSON; the same content makes the same document.

    Args:
        stage: The folder, with `wheels/`, and models anywhere.
        project: pyproject.toml's table of this name.
    """
    parts = [_wheel(path) for path in sorted((stage / "wheels").glob("*.whl"))]
    parts += [_compiled(name) for name in sorted(_COMPILED_IN)]
    parts += [_model(path, stage) for path in sorted(stage.rglob("*.gguf"))]
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    references = sorted(part["bom-ref"] for part in parts if part["bom-ref"] != own)
    content = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "bundle",
                "name": f"{project['name']}-bundle",
                "version": project["version"],
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": parts,
        "dependencies": [
            {"ref": "bundle", "dependsOn": [own]},
            {"ref": own, "dependsOn": references},
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return json.dumps(head | content, indent=1) + "\n"


def _wheel(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        named = next(
            name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
        )
        raw = archive.read(named).decode("utf-8", "replace")
    parsed = email.parser.Parser(policy=email.policy.compat32).parsestr(raw, headersonly=True)
    name = re.sub(r"[-_.]+", "-", str(parsed["Name"])).lower()
    reference = f"pkg:pypi/{name}@{str(parsed['Version']).replace('+', '%2B')}"
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": str(parsed["Version"]),
        "hashes": [{"alg": "SHA-256", "content": wheels.digest(path)}],
        "purl": reference,
        "properties": [{"name": "file", "value": path.name}],
    }
    if licences := _licences(parsed):
        part["licenses"] = licences
    return part


def _licences(parsed: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - email's message
    """Return what a wheel states: an SPDX expression, else its classifiers, else a short text."""
    if expression := parsed["License-Expression"]:
        return [{"expression": str(expression)}]
    classified = [
        str(each).rpartition(" :: ")[2]
        for each in parsed.get_all("Classifier") or ()
        if str(each).startswith("License :: ") and str(each) != "License :: OSI Approved"
    ]
    if classified:
        return [{"license": {"name": each}} for each in classified]
    text = str(parsed["License"] or "").strip().splitlines()
    return [{"license": {"name": text[0]}}] if text and len(text[0]) < 100 else []


def _compiled(name: str) -> dict[str, Any]:
    licence, url = _COMPILED_IN[name]
    return {
        "type": "library",
        "bom-ref": name,
        "name": name,
        "licenses": [
            {"license": {"id": licence}} if _SPDX.match(licence) else {"expression": licence}
        ],
        "externalReferences": [{"type": "website", "url": url}],
    }


def _model(path: Path, stage: Path) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": str(path.relative_to(stage)),
        "name": path.stem,
        "hashes": [{"alg": "SHA-256", "content": wheels.digest(path)}],
        "properties": [{"name": "file", "value": str(path.relative_to(stage))}],
    }
