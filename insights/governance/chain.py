"""Check chains of audit events by their hashes. Python's standard library only: it stands alone.

    python verify.py audit.jsonl [ANCHORS ...]

`insights audit export` writes `audit.jsonl` and this file beside it; `insights audit verify` gives
it the same records from the store. A record is a chain's end or an event. An event's hash is the
SHA-256 of the former event's hash in its chain (32 zero bytes at the beginning) and of its body, a
JSON array in UTF-8, byte for byte as it is written:

    [chain, number, microseconds since 1970, actor, login, action, stream, row, insight, details]

An event that was forgotten is empty but for its hash: row and insight are null, and its details are
`{"forgotten": number}`. An event `forgotten` of retention names it: chain, number, the hash before
it, its own, the SHA-256 of the body that is left, and whether it was sound until then.

ANCHORS are files in whose lines ends of chains were kept: `chain:length:hash` somewhere in a line,
as in the lines that the daemon logs.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

RETENTION = "audit retention"
_ZERO = "00" * 32
_ANCHOR = re.compile(r"(?<![\w:])(\d{1,10}):(\d{1,19}):([0-9a-f]{64})(?![\w:])")
_USAGE = 64  # EX_USAGE of sysexits(3)


@dataclass(frozen=True)
class Chain:
    """The end of a chain: how long it is, its last hash, and what retention took away."""

    chain: int
    actor: str
    login: str
    length: int
    head: str
    sealed: int = 0
    sealed_hash: str = _ZERO


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written, and where."""

    where: str
    what: str


@dataclass
class _Place:
    """How far a chain was read, and events in a row that do not fit what stands before them."""

    number: int
    hash: str
    at: int = -(2**63)
    sound: bool = True  # the hash before is known: no gap lies between
    misfits: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Tombstone:
    """What is left of an event that was forgotten; `former` is None where a gap lies before it."""

    former: str | None
    hash: str
    body: str


class Check:
    """Takes events in the order of their chains and numbers; tells what was tampered with.

    Args:
        chains: The ends of all chains.
        anchors: Lines in which ends of chains were kept outside the store.
    """

    def __init__(self, chains: Iterable[Chain], anchors: Iterable[str] = ()) -> None:
        self.chains = {one.chain: one for one in chains}
        self.events = 0
        self.anchors = 0
        self._found: list[tuple[int, int, str]] = []
        self._places: dict[int, _Place] = {}
        self._seals: set[tuple[object, object, object]] = set()
        self._anchored: dict[int, dict[int, set[str]]] = {}
        self._tombstones: dict[tuple[int, int], _Tombstone] = {}
        self._forgotten: dict[tuple[int, int], list[object]] = {}
        for line in anchors:
            for chain, length, digest in _ANCHOR.findall(line):
                ends = self._anchored.setdefault(int(chain), {})
                ends.setdefault(int(length), set()).add(digest)
        self.anchors = sum(len(ends) for ends in self._anchored.values())

    def take(self, body: str, digest: str) -> None:
        """Check the next event: what was hashed, and its hash in hexadecimal."""
        self.events += 1
        chain, number, at, actor, login, action, _, *of, details = json.loads(body)
        place = self._places.get(chain)
        if place is None:
            place = self._places[chain] = self._begin(chain)
        if number <= place.number:
            self._tell(
                chain, number, f"event {number} stands where event {place.number + 1} should"
            )
            return
        if number > place.number + 1:
            self._end_misfits(chain, place)
            what = f"{_events(place.number + 1, number - 1)} missing"
            self._tell(chain, place.number + 1, what)
            place.sound = False
        expected = hashlib.sha256(bytes.fromhex(place.hash) + body.encode()).hexdigest()
        if expected != digest and of == [None, None] and _is_emptied(details):
            self._end_misfits(chain, place)
            left = hashlib.sha256(body.encode()).hexdigest()
            former = place.hash if place.sound else None
            self._tombstones[chain, number] = _Tombstone(former, digest, left)
        elif place.sound and expected != digest:
            place.misfits.append(number)
        else:
            self._end_misfits(chain, place)
        if at < place.at:
            self._tell(chain, number, f"event {number} is dated before event {place.number}")
        self._compare(chain, number, digest)
        end = self.chains.get(chain)
        if end is not None and (actor, login) != (end.actor, end.login):
            self._tell(chain, number, f"event {number} is of {actor} ({login})")
        if actor == RETENTION and isinstance(details, dict):
            self._hear(action, details)
        place.number, place.hash, place.at, place.sound = number, digest, at, True

    def finish(self) -> list[Finding]:
        """Return what was found, in the order of chains; nothing: all is as it was written."""
        for chain in sorted({*self.chains, *self._places, *self._anchored}):
            end = self.chains.get(chain)
            place = self._places.get(chain) or self._begin(chain)
            self._end_misfits(chain, place)
            if end is None and chain in self._places:
                self._tell(chain, 0, "it has events, and its end is not recorded")
            elif end is not None:
                self._close(end, place)
            for length in sorted(self._anchored.get(chain, ())):
                if length > place.number:
                    what = f"an anchor says {length} events, and {place.number} stand"
                    self._tell(chain, length, what)
                elif end is not None and length == end.sealed:
                    self._compare(chain, length, end.sealed_hash)
        self._bury()
        return [Finding(self._where(chain), what) for chain, _, what in sorted(self._found)]

    def _hear(self, action: str, details: dict[str, object]) -> None:
        """Take in what retention tells: events that it sealed, or emptied."""
        if action == "events sealed":
            self._seals.add((details.get("chain"), details.get("last"), details.get("hash")))
        emptied = details.get("events") if action == "forgotten" else None
        for one in emptied if isinstance(emptied, list) else ():
            if isinstance(one, list) and [type(part) for part in one[:2]] == [int, int]:
                self._forgotten[one[0], one[1]] = one[2:]

    def _bury(self) -> None:
        """Hold what is empty against what retention told, both ways."""
        for (chain, number), left in self._tombstones.items():
            told = self._forgotten.get((chain, number))
            if told is None:
                what = f"event {number} was emptied, and no forgetting tells of it"
                self._tell(chain, number, what)
                continue
            former, rest = told[:1], told[1:]
            if left.former is not None and former != [left.former]:
                what = f"event {number - 1} is not the one that stood before a forgotten one"
                self._tell(chain, number - 1, what)
            if rest[:2] != [left.hash, left.body]:
                self._tell(chain, number, f"event {number} is not what its forgetting left of it")
            elif rest[2:] != [True]:
                what = f"event {number} was not as it had been written when it was forgotten"
                self._tell(chain, number, what)
        for chain, number in self._forgotten.keys() - self._tombstones.keys():
            place, end = self._places.get(chain), self.chains.get(chain)
            sealed = end.sealed if end is not None else 0
            if place is not None and sealed < number <= place.number:
                what = f"event {number} was to be forgotten, and is not empty"
                self._tell(chain, number, what)

    def _begin(self, chain: int) -> _Place:
        end = self.chains.get(chain)
        return _Place(end.sealed, end.sealed_hash) if end is not None else _Place(0, _ZERO)

    def _close(self, end: Chain, place: _Place) -> None:
        if place.number < end.length:
            what = f"{_events(place.number + 1, end.length)} missing at its end"
            self._tell(end.chain, place.number + 1, what)
        elif place.number > end.length:
            what = f"{_events(end.length + 1, place.number)} there, after its recorded end"
            self._tell(end.chain, end.length + 1, what)
        elif place.hash != end.head:
            what = f"event {end.length} is not the one that its end records"
            self._tell(end.chain, end.length, what)
        if end.sealed and (end.chain, end.sealed, end.sealed_hash) not in self._seals:
            what = f"{_events(1, end.sealed)} gone, and no seal of retention tells of it"
            self._tell(end.chain, end.sealed, what)

    def _compare(self, chain: int, number: int, digest: str) -> None:
        kept = self._anchored.get(chain, {}).get(number, set())
        if kept - {digest}:
            self._tell(chain, number, f"event {number} or one before it is not what was anchored")

    def _end_misfits(self, chain: int, place: _Place) -> None:
        if not place.misfits:
            return
        first, last = place.misfits[0], place.misfits[-1]
        if first == last:
            what = f"event {first} is not as it was written, or does not follow event {first - 1}"
        else:
            what = f"events {first} to {last} are not as they were written"
        self._tell(chain, first, what)
        place.misfits.clear()

    def _tell(self, chain: int, number: int, what: str) -> None:
        self._found.append((chain, number, what))

    def _where(self, chain: int) -> str:
        end = self.chains.get(chain)
        return f"chain {chain}" if end is None else f"chain {chain} of {end.actor} ({end.login})"


def _is_emptied(details: object) -> bool:
    return isinstance(details, dict) and details.keys() == {"forgotten"}


def _events(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"


def _checked(export: Iterable[str], name: str, anchors: list[str]) -> tuple[Check, list[Finding]]:
    """Check the lines of an export: the chains, then the events, then how many there are."""
    chains: list[Chain] = []
    check: Check | None = None
    whole, unreadable = False, []
    for at, line in enumerate(export, 1):
        try:
            record = json.loads(line)
            if "body" in record:
                check = check or Check(chains, anchors)
                check.take(record["body"], record["hash"])
            elif "head" in record:
                chains.append(Chain(**record))
            else:
                events = check.events if check else 0
                whole = record == {"chains": len(chains), "events": events}
        except (ValueError, TypeError, KeyError):
            unreadable.append(Finding(f"{name}, line {at}", "it is no record of an export"))
    check = check or Check(chains, anchors)
    if not whole:
        unreadable.append(Finding(name, "it is cut or added to: its last line does not close it"))
    return check, [*unreadable, *check.finish()]


def main(arguments: list[str]) -> int:
    """Check an export; print what was found; return 1 if anything was."""
    if not arguments:
        sys.stderr.write("usage: verify.py EXPORT [ANCHORS ...]\n")
        return _USAGE
    lines: list[str] = []
    for name in arguments[1:]:
        with open(name, encoding="utf-8", errors="replace") as anchors:  # noqa: PTH123 - plain
            lines += anchors
    with open(arguments[0], encoding="utf-8") as export:  # noqa: PTH123 - plain
        check, found = _checked(export, arguments[0], lines)
    for one in found:
        sys.stdout.write(f"{one.where}: {one.what}\n")
    told = f"{check.events} events in {len(check.chains)} chains, {check.anchors} anchors"
    sys.stdout.write(f"{told}: {'TAMPERED WITH' if found else 'all as they were written'}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
