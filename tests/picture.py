"""`make picture`: the status page of the demo, as docs/status-page.png shows it."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browser import browser

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "status-page.png"
_AT = re.compile(r'"at": "([^"]+)", "event": "the status page is answered"')
_LOOKS_S = 75.0  # two samples and a half


def main() -> None:
    """Run the demo's daemon, look at its page, end it."""
    command = [sys.executable, "-m", "insights", "-c", "demo/config/insights.toml", "run"]
    env = {
        **os.environ,
        "INSIGHTS_HEALTH__LISTEN": "127.0.0.1:0",
        "INSIGHTS_PAGE__LISTEN": "127.0.0.1:0",
        "INSIGHTS_LOG__FORMAT": "json",
        "INSIGHTS_DAEMON__NAME": "helpdesk",
    }
    with (
        subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as daemon,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        assert daemon.stderr is not None
        at = next(found[1] for line in daemon.stderr if (found := _AT.search(line)))
        time.sleep(_LOOKS_S)
        with browser(Path(profile)) as page:
            page.call("Emulation.setScrollbarsHidden", hidden=True)
            page.open(f"http://{at}/?still")
            page.picture(PICTURE, 1120, 900)
        daemon.terminate()
        daemon.stderr.read()


if __name__ == "__main__":
    main()
