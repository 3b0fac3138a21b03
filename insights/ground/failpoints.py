"""Places where a fault test may kill this process, as a power cut would, or a thread of it.

`INSIGHTS_FAILPOINT=after-claim` kills at the first pass; `after-claim:3` at the third.
`main-loop:3:hang` lets the thread that passes hang for ever, `leases:3:raise` raises in it at each
pass from the third on. Without the variable a failpoint costs one comparison.
"""

import os
import signal
import threading
from collections import Counter

from insights.ground import environment

_passes: Counter[str] = Counter()
_wanted, _nth, _what = [*(environment.failpoint() or "").split(":"), "", ""][:3]


def reach(name: str) -> None:
    """Kill this process with SIGKILL if `name` is the failpoint asked for; or hang, or raise."""
    if name != _wanted:
        return
    _passes[name] += 1
    if _passes[name] < int(_nth or 1):
        return
    if _what == "hang":
        threading.Event().wait()
    elif _what == "raise":
        raise AssertionError(f"the failpoint {name}")
    else:
        os.kill(os.getpid(), signal.SIGKILL)
