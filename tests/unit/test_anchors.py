"""Where ends of chains are kept: each place by itself, and nothing twice."""

import json
import resource
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from insights import errors
from insights.governance import anchors
from insights.governance.anchors import Anchors
from insights.site.audit import AuditSettings
from insights.site.masking import masked
from insights.site.settings import Settings

FIRST = {1: "1:5:" + "a" * 64, 2: "2:1:" + "b" * 64}
LATER = {**FIRST, 2: "2:2:" + "c" * 64}


def kept(file: Path) -> list[str]:
    return [json.loads(line)["ends"] for line in anchors.read(file)]


def test_only_what_has_changed_is_kept_again(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    keeping = Anchors(file, ())
    with capture_logs() as logs:
        for ends in (FIRST, FIRST, LATER, LATER):
            keeping.keep(ends)
    assert kept(file) == [" ".join(FIRST.values()), LATER[2]]
    assert [line["ends"] for line in logs] == kept(file)


def test_a_long_list_is_cut_into_lines_that_the_journal_takes(tmp_path: Path) -> None:
    ends = {n: f"{n}:1:{'a' * 64}" for n in range(250)}
    Anchors(tmp_path / "anchors", ()).keep(ends)
    lines = anchors.read(tmp_path / "anchors")
    assert (len(lines), max(map(len, lines)) < 48 * 1024) == (3, True)
    assert " ".join(kept(tmp_path / "anchors")) == " ".join(ends.values())


def test_a_place_that_fails_is_named_keeps_no_other_and_is_made_up_for(tmp_path: Path) -> None:
    file, told, gate = tmp_path / "no" / "anchors", tmp_path / "told", tmp_path / "gate"
    keeping = Anchors(file, ["/bin/sh", "-c", f"test -e {gate} && cat >> {told}"])
    with pytest.raises(errors.SettingsError, match="no/anchors cannot be written"):
        keeping.keep(FIRST)
    file.parent.mkdir()
    with pytest.raises(errors.SettingsError, match="ended with exit code 1"):
        keeping.keep(LATER)
    gate.touch()
    keeping.keep(LATER)
    assert kept(file) == kept(told) == [" ".join(LATER.values())]
    with pytest.raises(errors.SettingsError, match="cannot be started"):
        Anchors(None, [str(tmp_path / "none")]).keep(FIRST)


def test_a_line_that_does_not_fit_whole_is_no_anchor_and_is_made_up_for(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    keeping = Anchors(file, ())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with capture_logs():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))  # a part of it goes on the disk
        try:
            with pytest.raises(errors.SettingsError, match="anchors cannot be written"):
                keeping.keep(FIRST)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        keeping.keep(FIRST)
    assert file.read_text().count(FIRST[2]) == 1


def test_arguments_of_the_command_leave_the_house_with_no_bundle() -> None:
    command = ("/usr/bin/curl", "-H", "Authorization: Bearer s3cret")
    settings = Settings(audit=AuditSettings(anchor_command=command))
    assert masked(settings)["audit"]["anchor_command"] == "/usr/bin/curl with 2 arguments"
