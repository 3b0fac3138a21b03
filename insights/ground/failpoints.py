"""Places where a fault test may kill this process, as a power cut would.

`INSIGHTS_FAILPOINT=after-claim` kills at the first pass; `after-claim:3` at the third. Without the
variable a failpoint costs one dictionary look-up.
"""

import os
import signal
from collections import Counter

from insights.ground import environment

_passes: Counter[str] = Counter()
_wanted, _, _nth = (environment.failpoint() or "").partition(":")


def reach(name: str) -> None:
    """Kill this process with SIGKILL if `name` is the failpoint asked for."""
    if name != _wanted:
        return
    _passes[name] += 1
    if _passes[name] >= int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
