"""Which Pythons set-up and the bundle's installer take."""

import ensurepip
import re
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Version = tuple[int, int, int, str, int]


def _takes(script: str, version: Version, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run what the script's `usable` runs, as a Python of this version would."""
    assert ensurepip
    assert venv
    found = re.search(r"usable\(\) \{.*?-c '(.+?)'", (ROOT / script).read_text(), re.DOTALL)
    assert found is not None
    with monkeypatch.context() as as_another:
        as_another.setattr(sys, "version_info", version)
        as_another.setattr(sys, "argv", ["-c", "cp311", "cp312"])
        with pytest.raises(SystemExit) as ended:
            exec(found[1], {})  # noqa: S102 - the script's own words
    return not ended.value.code


@pytest.mark.parametrize("script", [".ci/setup.sh", "deploy/install.sh"])
@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ((3, 11, 0, "candidate", 1), False),  # Ubuntu 22.04's: PyTorch does not import
        ((3, 11, 0, "final", 0), True),
        ((3, 11, 2, "final", 0), True),
        ((3, 12, 3, "final", 0), True),
        ((3, 10, 12, "final", 0), False),
        ((3, 14, 0, "final", 0), False),
    ],
)
def test_no_release_candidate_is_taken(
    script: str, version: Version, *, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _takes(script, version, monkeypatch) == taken
