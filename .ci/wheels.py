"""Wheels of llama-cpp-python: put together, kept with the verdict of their trial, trusted by it.

A folder of the cache holds one wheel and `verdict.json`. The verdict names the wheel's SHA-256 and
the processor it passed on: a wheel that was half written, copied from elsewhere or never tried does
not match, and is tried before it is used.
"""

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

VERDICT = "verdict.json"
_TIME = (1980, 1, 1, 0, 0, 0)  # a zip's earliest: the same content makes the same wheel


def assemble(
    source: Path,
    libraries: Iterable[Path],
    version: str,
    target: Path,
    *,
    tag: str = "linux_x86_64",
) -> Path:
    """Write a wheel of llama-cpp-python's Python files and compiled libraries; return its path.

    Args:
        source: The unpacked source distribution.
        libraries: Files for `llama_cpp/lib`.
        version: The wheel's version.
        target: The folder to write it into.
        tag: The platform that the libraries are for.
    """
    info = f"llama_cpp_python-{version}.dist-info"
    files: dict[str, bytes] = {
        str(path.relative_to(source)): path.read_bytes()
        for path in sorted((source / "llama_cpp").rglob("*"))
        if path.suffix in {".py", ".typed", ".pyi"}
    }
    files |= {f"llama_cpp/lib/{path.name}": path.read_bytes() for path in libraries}
    metadata = (source / "PKG-INFO").read_text("utf-8")
    stated = next(line for line in metadata.splitlines() if line.startswith("Version: "))
    files[f"{info}/METADATA"] = metadata.replace(stated, f"Version: {version}", 1).encode()
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: legacy-insights set-up\nRoot-Is-Purelib: false\n"
        f"Tag: py3-none-{tag}\n"
    ).encode()
    files[f"{info}/licenses/LICENSE.md"] = (source / "LICENSE.md").read_bytes()
    record = [f"{name},{_record_hash(data)},{len(data)}" for name, data in files.items()]
    record.append(f"{info}/RECORD,,")
    files[f"{info}/RECORD"] = ("\n".join(record) + "\n").encode()
    wheel = target / f"llama_cpp_python-{version}-py3-none-{tag}.whl"
    target.mkdir(parents=True, exist_ok=True)
    half = wheel.with_suffix(f".{os.getpid()}.half")
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    half.replace(wheel)
    return wheel


def keep(wheel: Path, folder: Path, verdict: Mapping[str, Any]) -> bool:
    """Keep a wheel that passed, with its verdict; return False where that folder cannot be written.

    The verdict is written last, and replaced in one step: what is half written has none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).unlink(missing_ok=True)
        half = folder / f".half.{os.getpid()}"
        if wheel.parent != folder:
            for old in folder.glob("*.whl"):
                old.unlink()
            half.write_bytes(wheel.read_bytes())
            half.replace(folder / wheel.name)
        half.write_text(
            json.dumps({**verdict, "wheel": wheel.name, "sha256": digest(wheel)}, indent=1), "utf-8"
        )
        half.replace(folder / VERDICT)
    except OSError:
        return False
    return True


def found(folder: Path) -> Path | None:
    """Return the wheel in a folder of the cache, whatever it is worth."""
    try:
        return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime, default=None)
    except OSError:
        return None


def trusted(folder: Path, processor: str) -> dict[str, Any] | None:
    """Return the verdict on the wheel in a folder if it is about this wheel and this processor."""
    wheel = found(folder)
    if wheel is None:
        return None
    try:
        verdict: Any = json.loads((folder / VERDICT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(verdict, dict) or verdict.get("processor") != processor:
        return None
    if verdict.get("wheel") != wheel.name or verdict.get("sha256") != digest(wheel):
        return None
    return verdict


def unpack(wheel: Path, folder: Path) -> Path | None:
    """Unpack a wheel and return the folder; None if it is no whole wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.testzip() is not None:
                return None
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return None
    return folder if (folder / "llama_cpp" / "__init__.py").is_file() else None


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_hash(data: bytes) -> str:
    raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={raw.decode().rstrip('=')}"
