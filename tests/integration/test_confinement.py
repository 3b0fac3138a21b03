"""The processes that read strangers' bytes cannot do what their user could, and still work."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from insights.documents.client import LoaderClient
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.inference.client import LocalGenerator
from insights.workers import confinement, landlock, seccomp
from insights.workers.confinement import Held
from tests import tagged
from tests.asking import BODIES, request
from tests.papers import docx_of, pdf_of
from tests.site import Site

ALL = set(confinement._ATTEMPTS)
SIGNALS = "signal other processes"

needs_all = pytest.mark.skipif(
    landlock.version() < 6, reason="needs a kernel with Landlock of version 6 (Linux 6.12)"
)


@contextmanager
def _threads(pid: int | None) -> Iterator[list[str]]:
    """The status of each thread of a process."""
    folder = Path(f"/proc/{pid}/task")
    yield [(task / "status").read_text() for task in folder.iterdir()]


def _is_held(held: Held) -> None:
    assert set(held.cannot) == ALL
    assert held.can == ()


def _is_filtered(pid: int | None) -> None:
    """Each thread, those of the libraries too, is under the filter and can gain no rights."""
    with _threads(pid) as statuses:
        assert len(statuses) > 1
        for status in statuses:
            assert "NoNewPrivs:\t1" in status
            assert "Seccomp:\t2" in status


@needs_all
def test_a_generator_cannot_reach_anything_and_generates(stand_in: Path) -> None:
    with closing(LocalGenerator(stand_in)) as generator:
        futures = [generator.submit(request(body)) for body in BODIES]
        assert all(json.loads(future.result(60).text) for future in futures)
        _is_held(generator.held())
        _is_filtered(generator.pid)


@needs_all
def test_a_loader_cannot_reach_anything_and_reads(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of(b"BT /F1 12 Tf 72 700 Td (On paper) Tj ET"))
    (tmp_path / "b.docx").write_bytes(docx_of("<w:p><w:r><w:t>In Word</w:t></w:r></w:p>"))
    with closing(LoaderClient(tmp_path)) as loader:
        assert "On paper" in loader.load("a.pdf").text
        assert "In Word" in loader.load("b.docx").text
        _is_held(loader.held())
        _is_filtered(loader.pid)


@needs_all
def test_a_loader_reads_the_folder_that_takes_its_folders_place(tmp_path: Path) -> None:
    folder = tmp_path / "current"
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text(f"the {name} one")
    folder.symlink_to("old")
    with closing(LoaderClient(folder)) as loader:
        assert loader.load("a.md").text == "the old one"
        folder.unlink()
        folder.symlink_to("new")
        assert loader.load("a.md").text == "the new one"


@needs_all
def test_an_embedder_cannot_reach_anything_and_embeds() -> None:
    with closing(EmbedderClient(ModelFiles(), threads=1)) as embedder:
        assert len(embedder.embed(["The printer is jammed."], "query")) == 1
        _is_held(embedder.held())
        _is_filtered(embedder.pid)


@needs_all
def test_doctor_tells_what_holds_and_what_does_not(site: Site, tmp_path: Path) -> None:
    manuals = tmp_path / "manuals"
    manuals.mkdir()
    collection = f'\n[collection.manuals]\nfolder = "{manuals}"\n'

    config = site.write().folder / "insights.toml"
    text = config.read_text().replace("[daemon]", "[daemon]\nconfine = false")
    folder = tmp_path / "names"
    names = (
        f'redact.names_model = "{folder}"\nredact.names_model_sha256 = "{tagged.made(folder)}"\n'
    )
    config.write_text(text + collection + names)
    site.insights("migrate")
    told = {
        (line["place"].split()[0], line["level"]): line["what"]
        for line in json.loads(site.insights("doctor", "--json").stdout)
        if "tried, and" in line["what"]
    }
    assert {place for place, _ in told} == {"model", "collection", "embedding"}
    for place, level in (("model", "note"), ("embedding", "note"), ("collection", "ok")):
        assert all(f" {attempt}" in told[place, level] for attempt in ALL)
    assert told["collection", "note"].startswith("its recognizer of names tried, and can ")


def _alone(code: str) -> str:
    """Run code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@pytest.mark.skipif(not landlock.version(), reason="needs Landlock")
def test_landlock_alone_closes_files_and_tcp(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given")
    (tmp_path / "secret").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import os, socket
from pathlib import Path
from insights.workers import landlock
assert landlock.restrict(read=[Path({str(tmp_path / "given")!r})], use=[Path("/dev/null")])
def tried(what):
    try: what()
    except OSError as exc: return exc.strerror
    return "done"
print(tried(lambda: open({str(tmp_path / "given")!r}).read()))
print(tried(lambda: open("/dev/null", "w").write("x")))
print(tried(lambda: open({str(tmp_path / "secret")!r}).read()))
print(tried(lambda: open({str(tmp_path / "given")!r}, "a").write("x")))
print(tried(lambda: os.rename({str(tmp_path / "given")!r}, {str(tmp_path / "moved")!r})))
print(tried(lambda: socket.create_connection({server.getsockname()!r})))
"""
        told = _alone(code).splitlines()
    assert told[:2] == ["done", "done"]
    wanted = 4 if landlock.version() >= 4 else 3
    assert told[2 : 2 + wanted] == ["Permission denied"] * wanted


def test_the_filter_alone_closes_sockets_and_programs() -> None:
    code = """
import os, socket, ctypes
from insights.workers import seccomp
print(seccomp.refuse())
def tried(what):
    try: what()
    except OSError as exc: return exc.strerror
    return "done"
print(tried(lambda: socket.socket(socket.AF_UNIX)))
print(tried(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)))
print(tried(lambda: os.execv("/bin/true", ["true"])))
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 1, None), os.strerror(ctypes.get_errno()))
print(libc.syscall(0x40000000 + 41, 2, 1, 0), os.strerror(ctypes.get_errno()))
print(tried(lambda: os.listdir("/")))
"""
    told = _alone(code).splitlines()
    if told[0] == "False":
        pytest.skip("needs seccomp, on x86-64 or 64-bit ARM")
    refused = "Operation not permitted"
    assert told[1:] == [refused, refused, refused, f"-1 {refused}", f"-1 {refused}", "done"]


def test_a_library_that_looks_for_another_finds_no_compiler_to_ask(tmp_path: Path) -> None:
    """As CUDA's do, which PyPI's PyTorch brings; a machine that builds llama.cpp has a compiler."""
    assert shutil.which("gcc")
    code = f"""
import ctypes.util, tempfile
from insights.workers import confinement
tempfile.tempdir = "/"
confinement.confine([{str(tmp_path)!r}])
print(ctypes.util.find_library("dl"), ctypes.util.find_library("of-nobody"))
"""
    assert _alone(code) in ("None None", "libdl.so.2 None")  # by the kernel: /sbin/ldconfig says


def test_a_kernel_without_both_is_no_reason_not_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # which goes, as from a child
    monkeypatch.setattr("secrets.token_hex", lambda _: "tried")
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "refuse", lambda: False)
    confinement.confine([tmp_path])
    held = confinement.attempt()
    assert "write a file" in held.can
    assert "start a program" in held.can
    assert not Path("/tmp/insights-tried").exists()  # noqa: S108
