"""A knowledge folder gives regular files below it, and never what a link in it names."""

import os
from pathlib import Path

import pytest

from insights import errors
from insights.documents.folder import Folder
from insights.documents.tree import Tree


def _uris(tree: Tree) -> list[str]:
    return [entry.uri for entry in tree.entries()]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("**/*", ["a.md", "sub/b.md", "sub/deep/c.txt"]),
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "sub/b.md"]),
        ("sub/**/*", ["sub/b.md", "sub/deep/c.txt"]),
        ("sub/*", ["sub/b.md"]),
        ("**", ["a.md", "sub/b.md", "sub/deep/c.txt"]),
    ],
)
def test_a_pattern_names_files_as_a_glob_does(
    tmp_path: Path, pattern: str, wanted: list[str]
) -> None:
    for name in ("a.md", "sub/b.md", "sub/deep/c.txt", ".git/d.md", "sub/~$e.docx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert _uris(Tree(tmp_path, pattern)) == wanted


def test_a_link_to_a_file_is_told_and_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "hash_key"
    secret.write_text("a secret")
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "manual.md").symlink_to(secret)
    with Folder(folder) as documents:
        assert dict(documents.listing()) == {"manual.md": b""}
        with pytest.raises(errors.KnowledgeError, match="is a link") as raised:
            documents.load("manual.md")
    assert raised.value.where == str(folder / "manual.md")


def test_a_link_to_a_folder_is_told_and_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "private"
    outside.mkdir()
    (outside / "notes.md").write_text("a secret")
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "shared").symlink_to(outside)
    with Folder(folder) as documents:
        assert dict(documents.listing()) == {"shared": b""}
        with pytest.raises(errors.KnowledgeError, match="is a link"):
            documents.load("shared/notes.md")


def test_a_folder_swapped_for_a_link_after_the_listing_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "private"
    outside.mkdir()
    (outside / "a.md").write_text("a secret")
    (tmp_path / "kb" / "sub").mkdir(parents=True)
    (tmp_path / "kb" / "sub" / "a.md").write_text("text")
    tree = Tree(tmp_path / "kb")
    assert _uris(tree) == ["sub/a.md"]
    (tmp_path / "kb" / "sub").rename(tmp_path / "gone")
    (tmp_path / "kb" / "sub").symlink_to(outside)
    with pytest.raises(errors.KnowledgeError, match="is a link"), tree.open("sub/a.md"):
        pass


@pytest.mark.parametrize("uri", ["../secret", "/etc/passwd", "sub/../../secret", ""])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, uri: str) -> None:
    (tmp_path / "kb").mkdir()
    (tmp_path / "secret").write_text("a secret")
    with pytest.raises(errors.KnowledgeError, match="no path below"):  # noqa: SIM117
        with Tree(tmp_path / "kb").open(uri):
            pass


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "a.md").write_text("text")
    (tmp_path / "current").symlink_to("v2")
    tree = Tree(tmp_path / "current")
    assert _uris(tree) == ["a.md"]
    with tree.open("a.md") as descriptor:
        assert os.read(descriptor, 10) == b"text"


def test_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with Folder(tmp_path) as documents:
        assert dict(documents.listing()) == {"a.md": b""}
        with pytest.raises(errors.KnowledgeError, match="no regular file"):
            documents.load("a.md")


def test_a_name_that_is_no_utf_8_is_told_and_left_out(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("text")
    (tmp_path / "good.md").write_text("text")
    with Folder(tmp_path) as documents:
        listed = dict(documents.listing())
        assert listed["caf\\udce9.md"] == b""
        assert listed["good.md"] != b""
        with pytest.raises(errors.KnowledgeError, match="no UTF-8"):
            documents.load("caf\\udce9.md")


def test_a_folder_below_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()

    def refuse(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(errors.KnowledgeError, match="Permission denied"):
        list(Tree(tmp_path).entries())
