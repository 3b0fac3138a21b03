"""docs/doors.md, as a newcomer types it: from a clone to an insight through the HTTP door."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?ms)^## From a fresh clone.*?^```bash\n(?P<script>.*?)^```$")
pytestmark = pytest.mark.acceptance


def test_the_commands_lead_to_an_insight_of_redacted_text(tmp_path: Path, store_url: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    found = BLOCK.search((ROOT / "docs" / "doors.md").read_text(encoding="utf-8"))
    assert found is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = found["script"].replace(". .venv/bin/activate\n", "").replace("9189", str(port))
    done = subprocess.run(
        ["bash", "-c", f"{script}\nwait"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "INSIGHTS_STORE__URL": store_url,
            "INSIGHTS_CREDENTIAL_HASH_KEY": "a key for tests",
            "INSIGHTS_STATE_DIR": str(tmp_path),
            "INSIGHTS_SERVE__LISTEN": f"127.0.0.1:{port}",
            "INSIGHTS_HEALTH__LISTEN": "127.0.0.1:0",
        },
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')] or [
        done.stdout + done.stderr
    ]
    (answer,) = json.loads(line)["requests"]
    assert (answer["standing"], answer["output"]["category"]) == ("done", "printing")
    assert "Muster" not in done.stdout + done.stderr
