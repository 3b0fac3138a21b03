"""Set-up where the machine is not as it should be: what it says, and that the next call works.

The real script with the real pip, in a small checkout whose packages are empty: no network, a
`/tmp` that runs nothing, a home that cannot be written, a disk that is small, full or read-only.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import llama
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Builds the checkout's own package with nothing but the standard library.
BACKEND = """\
import zipfile
from pathlib import Path
INFO = {
    "METADATA": "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "RECORD": "",
}
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        for file, text in INFO.items():
            wheel.writestr("small-1.dist-info/" + file, text)
    return name
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
"""


def _wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> str:
    """Write a wheel; return its line of a lock file."""
    info = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        record += f"{path},sha256={digest.rstrip('=')},{len(text)}\n"
    target = folder / f"{name}-{version}-py3-none-any.whl"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as wheel:
        for member, text in {**contents, f"{info}/RECORD": record}.items():
            wheel.writestr(member, text)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    return f"{name.replace('_', '-')}=={version.partition('+')[0]} --hash=sha256:{digest}\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkout, wheels for it, a home with a llama.cpp that passed, and fakes."""
    checkout, links = tmp_path / "checkout", tmp_path / "wheels"
    shutil.copytree(ROOT / ".ci", checkout / ".ci", ignore=shutil.ignore_patterns("*.lock", "__*"))
    lock = _wheel(links, "little", "1", {"little.py": ""})
    lock += _wheel(links, "torch", "2.0+cpu", {"torch.py": ""})
    llama_line = f"llama-cpp-python==0.0.1 --hash=sha256:{64 * '0'}\n"
    (checkout / "requirements.lock").write_text(lock + llama_line)
    for name in ("demo", "dev", "bench"):
        (checkout / ".ci" / f"{name}.lock").touch()
    (checkout / "backend.py").write_text(BACKEND)
    (checkout / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name in ("CC", "CXX", "CMAKE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    kept = llama.cache_folder("0.0.1", gpu=False)
    assert kept is not None
    files = {"llama_cpp/__init__.py": "", "llama_cpp/lib/libllama.so": ""}
    _wheel(kept, "llama_cpp_python", "0.0.1", files)
    (wheel,) = kept.glob("*.whl")
    verdict = {
        "processor": llama.processor(),
        "wheel": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    (kept / "verdict.json").write_text(json.dumps(verdict))
    (tmp_path / "bin").mkdir()
    for name, says in (("dpkg-query", "printf installed"), ("apt-get", "true")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def _set_up(place: Path, mounts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run set-up at /mnt, in a mount namespace of its own after these mounts."""
    script = f"mount --bind '{place}' /mnt\n{mounts}\ncd /mnt/checkout\nexec .ci/setup.sh demo"
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    probe = subprocess.run(["unshare", *user, "-m", "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("needs a mount namespace")
    plain = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        ["unshare", *user, "-m", "sh", "-ec", script],
        check=False,
        capture_output=True,
        text=True,
        env={
            **plain,
            "PATH": f"/mnt/bin:{plain['PATH']}",
            "HOME": "/mnt/home",
            "PIP_CONFIG_FILE": "/dev/null",
            "INSIGHTS_TORCH_INDEX": "http://127.0.0.1:9/none",
            **environment,
        },
    )


SMALL = (
    "mkdir /mnt/small; mount -t tmpfs -o size=16m none /mnt/small; "
    "cp -r /mnt/checkout /mnt/small; mount --bind /mnt/small/checkout /mnt/checkout"
)
LINKS = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/wheels"}


def test_no_network_is_one_line_and_the_next_call_works_wherever_it_may_write(place: Path) -> None:
    """Then: /tmp runs nothing, the home is read-only, TMPDIR is nowhere. A third ends at once."""
    dead = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    first = _set_up(place, "", **dead)
    assert first.returncode != 0
    (said,) = [line for line in first.stderr.splitlines() if line.startswith("setup: ")]
    assert "no network" in said
    assert "PIP_INDEX_URL" in said
    hard = "mount -t tmpfs -o noexec,size=1m none /tmp\n"
    hard += "mount --bind /mnt/home /mnt/home\nmount -o remount,bind,ro /mnt/home"
    second = _set_up(place, hard, TMPDIR="/nowhere", **LINKS)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "which passed its trial here" in second.stdout
    assert "==> Ready" in second.stdout
    begun = time.monotonic()
    third = _set_up(place, "", HOME="/nowhere", **dead)
    assert (third.returncode, third.stdout, third.stderr) == (0, "", "")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ("mount -o remount,bind,ro /mnt", "this folder is read-only: copy the checkout"),
        (
            SMALL,
            "and set-up needs 3000: free some, then run the same again",
        ),
    ],
    ids=["read-only", "small"],
)
def test_a_disk_that_cannot_hold_it_is_refused_before_anything_is_done(
    place: Path, mounts: str, words: str
) -> None:
    done = _set_up(place, mounts, **LINKS)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: ")
    assert words in line
    assert not (place / "checkout" / ".venv").exists()


def test_a_disk_that_fills_while_compiling_is_one_line_and_what_is_done_is_kept(
    place: Path,
) -> None:
    """The log is on the same disk, and fills with it."""
    step = (
        "import sys; sys.path.insert(0, '.ci'); import console, pathlib\n"
        "log = pathlib.Path('/mnt/small/setup.log')\n"
        "fill = 'echo [1/2]; touch /mnt/small/one.o; "
        "head -c 4000000 /dev/zero >/mnt/small/two.o || echo full >&2; yes | head -c 9000000'\n"
        "sys.exit(console.guarded(lambda: console.run(['sh', '-c', fill], log, failing='x')))"
    )
    (place / "step.py").write_text(step)
    mounts = (
        "mkdir /mnt/small; mount -t tmpfs -o size=1m none /mnt/small\n"
        "python3 /mnt/step.py; code=$?; ls /mnt/small; exit $code"
    )
    done = _set_up(place, f"cd /mnt/checkout; set +e\n{mounts}")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("setup: ")]
    assert "the disk is full" in line
    assert "free 4 GB, then run the same again" in line
    assert "one.o" in done.stdout
