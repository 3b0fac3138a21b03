"""docs/doors.md, as a newcomer types it: from a clone to an insight through each of three doors."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"(?ms)^## From a fresh clone.*?(?=^## )")
BLOCK = re.compile(r"(?ms)^```bash\n(.*?)^```$")
pytestmark = pytest.mark.acceptance


def test_the_commands_lead_to_insights_of_redacted_text(tmp_path: Path, store_url: str) -> None:
    for tool in ("curl", "redis-server", "redis-cli"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    section = SECTION.search((ROOT / "docs" / "doors.md").read_text(encoding="utf-8"))
    assert section is not None
    http, broker = free_port(), free_port()
    script = "\n".join(BLOCK.findall(section[0])).replace(". .venv/bin/activate\n", "")
    for written, here in {
        "9189": str(http),
        "6399": str(broker),
        ".demo/exports": str(tmp_path / "exports"),
    }.items():
        assert written in script
        script = script.replace(written, here)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "INSIGHTS_STORE__URL": store_url,
            "INSIGHTS_CREDENTIAL_HASH_KEY": "a key for tests",
            "INSIGHTS_STATE_DIR": str(tmp_path),
            "INSIGHTS_SERVE__LISTEN": f"127.0.0.1:{http}",
            "INSIGHTS_HEALTH__LISTEN": "127.0.0.1:0",
            "INSIGHTS_DOOR__EXPORTS__FOLDER": str(tmp_path / "exports"),
            "INSIGHTS_QUEUE__DESK__URL": f"redis://127.0.0.1:{broker}",
        },
    )
    told = done.stdout + done.stderr
    over_http = [one for one in told.splitlines() if one.startswith('{"requests":[')]
    of_queue = [one for one in told.splitlines() if one.startswith('{"id":')]
    assert (len(over_http), len(of_queue)) == (1, 1), told
    (request,) = json.loads(over_http[0])["requests"]
    for answer in (request, json.loads(of_queue[0])):
        assert (answer["standing"], answer["output"]["category"]) == ("done", "printing")

    with (tmp_path / "exports" / "out" / "tickets.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["ticket_id"], row["standing"], row["category"]) == ("8", "done", "printing"), told
    assert (tmp_path / "exports" / "out" / "tickets.csv").read_text(encoding="utf-8") in told

    assert "Muster" not in told
