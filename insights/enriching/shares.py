"""Who may claim how much now: fair shares, stopped recipes, and rows that must run alone.

Each recipe may hold a part of what is in flight, by its stream's weight; one that is alone may hold
all but a reserve, so that rows of another that come later find room at once.

The more rows wait at a model, the more of them share the beginnings of their prompts. So a recipe
may hold more than its part, as far as it finishes them soon: what waits long is late, and a model
that dies leaves all that it has to be tried alone.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from insights.enriching.breakers import Admission
from insights.enriching.flight import Flight
from insights.enriching.recipe import Recipe
from insights.model import Claim, Share

LOOK_S = 30.0  # how often the store is asked for suspects that others left there
_BATCH = 32
_MOMENTS = 4  # in a second; what a recipe finishes in one it may claim at once
_PACE = 64  # rows by which a recipe's pace is known
_WAITS = 3  # of a row's time for its generation, the part that more rows in hand may make it wait


class Shares:
    """Plans what is claimed next.

    Args:
        recipes: By pipeline version.
        flight: What is in hand.
        batch: Most rows of a recipe claimed at once; if it is None, 32, and up to half of `ample`
            of recipes that finish them within a moment.
        most: Most rows in hand, of all recipes, whatever their pace.
        ample: Most rows in hand of recipes that finish them soon; `most` if it is None.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        recipes: Mapping[int, Recipe],
        flight: Flight,
        *,
        batch: int | None,
        most: int,
        ample: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipes = recipes
        self._flight = flight
        self._most, self._ample = most, max(most, ample or 0)
        self._batch = batch or _BATCH
        self._brisk = batch or self._ample // 2  # one batch is read while another is made
        self._ended: dict[int, deque[float]] = {}  # when the last rows of a recipe did
        self._lately: dict[int, deque[float]] = {}  # the same of more rows, for what is brisk
        self._clock = clock
        self._lock = threading.Lock()
        self._hungry: set[int] = set()  # their last claim took all that it might
        self._narrowed: dict[int, int] = {}  # most rows in hand of recipes whose rows come too late
        self._suspects: dict[int, list[float]] = {}  # when rows are due that must run alone
        self._alone_next: set[int] = set()  # nothing else is there to try a stopped model with
        self._look_at = self._clock()
        self._bare = False

    # --- planning ------------------------------------------------------------------------------

    def plan(self, admits: Callable[[Recipe], Admission]) -> list[Share]:
        """Return what to claim; `admits` says how many rows of a recipe may start now."""
        held, alone = self._flight.by_version(), self._flight.isolated()
        admitted = {v: said for v, r in self._recipes.items() if (said := admits(r)) != "none"}
        waiting = self._due(admitted)
        room = max(0, self._ample - held.total())
        shares = []
        for version, said in sorted(admitted.items(), key=self._before):
            recipe = self._recipes[version]
            beside = [v for v, other in self._recipes.items() if _meet(recipe, other)]
            if any(v in alone for v in beside):
                continue
            turn = next((v for v in beside if v in waiting), None)
            if turn is not None and (said == "all" or turn in self._alone_next):
                if version == turn and not any(held[v] for v in beside):
                    shares.append(Share(version, 1, isolated=True))
                continue
            limit, floor = self._limit(version, held, admitted)
            rows = min(self._at_once(version), limit - held[version])
            rows = min(rows, max(room, floor - held[version]))
            if said == "one":
                rows = min(rows, 1)
            if rows > 0:
                shares.append(Share(version, rows))
                room = max(0, room - rows)
        return shares

    def _due(self, admitted: Mapping[int, Admission]) -> list[int]:
        """Return the versions whose suspects are due, the longest waiting first."""
        now = self._clock()
        with self._lock:
            due = [(min(at), v) for v, at in self._suspects.items() if v in admitted and at]
        return [version for at, version in sorted(due) if at <= now]

    def _limit(
        self, version: int, held: Mapping[int, int], admitted: Collection[int]
    ) -> tuple[int, int]:
        """Return the most rows that a recipe may hold, and what is kept free for it while it idles.

        Two recipes of one weight and 64 rows: 48 for one while the other idles, and 32 each once
        both have work. With weights 4 and 1: 39 for the light one while the heavy one idles, 58 for
        the heavy one while the light one idles, and 51 and 12 once both have work.

        Of `ample` rows the parts are alike; of them a recipe holds what it finishes in time.
        """
        busy = {v for v in self._recipes if held.get(v) or v in self._hungry} | {version}
        total = sum(map(self._weight, admitted))

        def floor(one: int, most: int = self._most) -> int:
            return max(1, most * self._weight(one) // (2 * max(1, total)))

        def part(most: int) -> int:
            kept = sum(floor(v, most) for v in admitted if v not in busy)
            ours = (most - kept) * self._weight(version) // sum(map(self._weight, busy))
            return max(floor(version, most), ours)

        limit = max(part(self._most), min(part(self._ample), self._in_time(version)))
        return min(limit, self._narrowed.get(version, limit)), floor(version)

    def _at_once(self, version: int) -> int:
        """Return how many rows of a recipe are claimed at once: each claim has its price.

        A whole second is looked at: rows that end in one burst are no pace.
        """
        lately = list(self._lately.get(version, ()))
        ended = len(lately) - bisect_left(lately, self._clock() - 1.0)
        return max(self._batch, min(self._brisk, ended // _MOMENTS))

    def _in_time(self, version: int) -> int:
        """Return how many rows a recipe finishes in a part of the time that each has."""
        ended = self._ended.get(version)
        if ended is None or len(ended) < _PACE:
            return 0
        took = self._clock() - ended[0]
        waits = self._recipes[version].deadline_s / _WAITS
        return self._ample if took <= 0 else int(min(self._ample, waits * len(ended) / took))

    def _before(self, admitted: tuple[int, Admission]) -> tuple[bool, int]:
        """Order recipes: those that surely have rows, then by weight; the others keep a floor."""
        version, _ = admitted
        return version not in self._hungry, -self._weight(version)

    def _weight(self, version: int) -> int:
        return self._recipes[version].stream.weight

    # --- what came of it -----------------------------------------------------------------------

    def claimed(self, shares: Sequence[Share], claims: Sequence[Claim]) -> None:
        """Note what a plan brought."""
        self._bare = bool(shares) and not claims
        for share in shares:
            version = share.pipeline_version_id
            got = sum(
                c.pipeline_version_id == version and c.isolated == share.isolated for c in claims
            )
            with self._lock:
                if share.isolated:
                    self._alone_next.discard(version)
                    now = self._clock()
                    later = [at for at in self._suspects.get(version, ()) if at > now]
                    self._suspects[version] = [now, *later] if got else later  # there may be more
                    continue
                if got < share.rows:
                    self._hungry.discard(version)
                else:
                    self._hungry.add(version)
                if not got and self._suspects.get(version):
                    self._alone_next.add(version)

    def suspect(self, version: int, delay_s: float) -> None:
        """Rows of a version must run alone, from so many seconds on."""
        with self._lock:
            self._suspects.setdefault(version, []).append(self._clock() + delay_s)

    def looks(self) -> bool:
        """Tell whether it is time to ask the store for suspects: of former runs and other hosts.

        Where nothing else is to be done it is: there they need not wait.
        """
        if self._clock() < self._look_at and not self._bare:
            return False
        self._look_at = self._clock() + LOOK_S
        return True

    def ease(self, version: int) -> None:
        """Rows of a version came too late: half as many at once."""
        with self._lock:
            now = max(1, self._flight.by_version()[version])
            self._narrowed[version] = max(1, min(now, self._narrowed.get(version, now)) // 2)

    def passed(self, version: int) -> None:
        """A row of a version was in time: one more at once."""
        now, lately = self._clock(), _MOMENTS * self._brisk
        self._ended.setdefault(version, deque(maxlen=_PACE)).append(now)
        self._lately.setdefault(version, deque(maxlen=lately)).append(now)
        if version not in self._narrowed:
            return
        with self._lock:
            self._narrowed[version] = self._narrowed.get(version, 0) + 1
            if self._narrowed[version] >= self._most:
                del self._narrowed[version]


def _meet(one: Recipe, other: Recipe) -> bool:
    return bool(set(one.touches) & set(other.touches))
