"""A watched folder that is not there is a trouble that passes, and names the folder."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from insights import errors
from insights.doors.folder import FolderDoor, Place, Shape
from insights.doors.layouts import Layout
from insights.doors.sending import Sending


def _none(_: Sequence[bytes]) -> Sending:
    raise AssertionError("there is no file")


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    place = Place(
        "desk", gone, "*.csv", "renamed", 0, "", 1, gone / "out", gone / "done", gone / "failed"
    )
    door = FolderDoor(place, Shape(Layout("csv"), ("id",), ("id",), ("kind",)), _none)
    with pytest.raises(errors.FolderUnavailable, match=r"door desk: .*gone") as caught:
        door.run_once()
    assert "No such file" in caught.value.what
