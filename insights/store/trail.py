"""The audit's other side: who checks its chains, keeps their ends, and takes an export along."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec

from insights.governance import chain as chains
from insights.governance.chain import Chain, Check, Finding
from insights.store import audit
from insights.store.postgres import Connection, Store
from insights.store.queries import load

_PAGE = 5_000
_GUARDS = (
    "audit_chain.audit_chain_kept",
    "audit_event.audit_event_append_only",
    "audit_event.audit_event_emptied_only",
)
# SHA-256 of what the functions do, as the newest migration of each made them: a test compares.
_DOORS = {
    "allow_again": "686202edbda8b75d8bb5496bfc3a7c0dbe936f4ddede1b2e1ccabde1e7380b54",
    "append_events": "1104a3141f439cb95c97d549e34f87da153d858f276291c68daa7f474126ce80",
    "chain_events": "969563bbe3d3b0d0040a042971a52a8258b4548438d2f216257ea1bf1fdbc1c9",
    "entomb_events": "acc92245e7580064413e455b2b7dd99ca421c2c929ab0d93d5371a17c5ccbb26",
    "expire_insights": "beafe69a24d97427b18a3bf5f85fb9ec43fb1859dda3d2b27e51c6f6ed0a47ab",
    "forget": "8e851a243a572dc293d51acd38cc15e85e66bc586d266492cd18d1fa12642738",
    "forget_more": "63c03395871d42607eb8c4cade8cc55efee8258fca22a011fbb1e54badf40903",
    "refuse_change": "aeb96902117ccbf2ee906432cba670671938a6952a87125e8dc879c550be91f4",
    "seal_events": "2c3944be4eaa1aacd560c1729bc597bf1ad0604228572346f1e108b0ad8a1143",
    "take_row": "3f96515aa1eb4d5d3bbc426fc74349ebf47fd349530f3ff4d64f3fffebcc2a7f",
}


class Verdict(msgspec.Struct, frozen=True):
    """What a check found: nothing, or each thing that is not as it was written, and where."""

    findings: list[Finding]
    events: int
    chains: int
    anchors: int


class Story(msgspec.Struct, frozen=True):
    """One insight: as it stands, the event of its making (None: older than these), its row's."""

    insight: dict[str, Any]
    made: dict[str, Any] | None
    events: list[dict[str, Any]]

    @property
    def changed(self) -> bool | None:
        """Whether it says something else now than when it was made; None: nobody can tell."""
        if self.made is None or "version" not in self.made["details"]:
            return None
        told = self.made["details"]
        names = ("status", "output_sha256", "version", "reason_sha256")
        before = [told["status"], told.get("output"), told["version"], told.get("why")]
        now = [self.insight[name] for name in names]
        return now != before if "why" in told else now[:3] != before[:3]


class Trail:
    """Reads audit events and the chains that they stand in.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("audit")

    def verify(self, anchors: Iterable[str] = ()) -> Verdict:
        """Check every chain from its beginning, and what guards the tables.

        Args:
            anchors: Lines in which ends of chains were kept outside the store.
        """
        with self._snapshot() as connection:
            check = Check(self._chains(connection), anchors)
            for event in self._events(connection):
                check.take(event.body, event.hash)
            findings = [*self._guarded(connection), *check.finish()]
            findings += [*self._contradicted(connection), *self._redefined(connection)]
        return Verdict(findings, check.events, len(check.chains), check.anchors)

    def show(self, insight_id: int) -> Story | None:
        """Return all that is known of how one insight was made; None if there is none."""
        with self._snapshot() as connection:
            row = connection.execute(self._sql["show"], {"insight_id": insight_id}).fetchone()
            if row is None:
                return None
            of_row = connection.execute(self._sql["of_row"], {"row_id": row.row_id}).fetchall()
        events = [event._asdict() for event in of_row]
        mine = [one for one in events if one["insight_id"] == insight_id]
        made = next((one for one in mine if one["action"] == "insight"), None)
        return Story(row._asdict(), made, events)

    def settings(self, limit: int) -> list[dict[str, Any]]:
        """Return when daemons began with other settings, and what had changed, the last first."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["settings"], {"limit": limit}).fetchall()
        return [row._asdict() for row in rows]

    def to_replay(self, insight_id: int) -> Any | None:  # noqa: ANN401 - a named row
        """Return what one insight was made from and what came out; None if there is none."""
        values = {"insight_id": insight_id}
        with self._store.connection() as connection:
            return connection.execute(self._sql["to_replay"], values).fetchone()

    def export(self, to: TextIO) -> int:
        """Write chains and events as lines of JSON, as they stand now; return how many events."""
        count = 0
        with self._snapshot() as connection:
            ends = self._chains(connection)
            to.writelines(_line(end) for end in ends)
            for event in self._events(connection):
                to.write(_line({"body": event.body, "hash": event.hash}))
                count += 1
        to.write(_line({"chains": len(ends), "events": count}))
        return count

    def ends(self) -> dict[int, str]:
        """Return the end of each chain that has one, as `chain:length:hash`."""
        with self._store.connection() as connection:
            found = self._chains(connection)
        return {one.chain: f"{one.chain}:{one.length}:{one.head}" for one in found if one.length}

    @property
    def verifier(self) -> str:
        """The program that checks an export alone."""
        return inspect.getsource(chains)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._store.transaction() as connection:
            connection.execute(self._sql["snapshot"])
            yield connection

    def _chains(self, connection: Connection) -> list[Chain]:
        return [Chain(*row) for row in connection.execute(self._sql["chains"])]

    def _events(self, connection: Connection) -> Iterator[Any]:
        after = {"chain_id": -(2**31), "number": 0, "limit": _PAGE}
        while rows := connection.execute(self._sql["events"], after).fetchall():
            yield from rows
            after |= {"chain_id": rows[-1].chain_id, "number": rows[-1].number}

    def _contradicted(self, connection: Connection) -> Iterator[Finding]:
        for row in connection.execute(self._sql["contradicted"]):
            what = "it is gone" if row.gone else "it is not what was written"
            place = f"event {row.number} of chain {row.chain_id}"
            yield Finding(f"insight {row.insight_id}", f"{what}: {place} says otherwise")

    def _redefined(self, connection: Connection) -> Iterator[Finding]:
        for row in connection.execute(self._sql["definitions"]):
            said = msgspec.json.encode(row.definition, order="deterministic")
            if hashlib.sha256(said).hexdigest() != row.sha256:
                what = (
                    "its prompt, schema or settings are not those that its SHA-256 was taken over"
                )
                yield Finding(f"version {row.sha256}", what)

    def _guarded(self, connection: Connection) -> Iterator[Finding]:
        on = {row.guard: row.enabled for row in connection.execute(self._sql["guards"])}
        for guard in _GUARDS:
            if not on.get(guard, False):
                state = "is switched off" if guard in on else "is gone"
                yield Finding(f"trigger {guard}", f"it {state}: changes are not refused")
        doors = {row.door: row for row in connection.execute(self._sql["doors"])}
        for door, sha256 in _DOORS.items():
            found = doors.get(door)
            if found is None or found.sha256 != sha256 or not found.fixed:
                yield Finding(f"function store.{door}", "it is not the one that `migrate` made")
        for row in connection.execute(self._sql["rights"]):
            yield Finding(f"store.{row.name}", f"{row.role} has the right to {row.privilege}")


class Applied:
    """The settings that a daemon begins with, told where they are others than the last time.

    Args:
        store: The store.
        actor: The daemon.
    """

    def __init__(self, store: Store, actor: str) -> None:
        self._store = store
        self._actor = actor

    def last(self) -> dict[str, Any] | None:
        """Return those that were told last; None where none were, or they are sealed."""
        with self._store.connection() as connection:
            values = {"actor": self._actor}
            row = connection.execute(load("audit")["applied"], values).fetchone()
        return None if row is None else row.settings

    def tell(self, settings: Mapping[str, Any], changed: Sequence[str], *, user: str) -> None:
        """Record all of them, and what has changed."""
        details = {"user": user, "changed": list(changed), "settings": settings}
        with self._store.transaction() as connection:
            audit.append(connection, self._actor, [audit.Event("settings", details=details)])


def _line(record: object) -> str:
    return msgspec.json.encode(record).decode() + "\n"
