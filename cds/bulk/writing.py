"""Writes a finished run's results to a FHIR server so that nothing is doubled, whenever it is run again (B28)."""

from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from cds.bulk.capability import Abilities
from cds.bulk.content import Json, version_of
from cds.bulk.deciding import WRITES, Step, decide
from cds.bulk.looking import by_id, by_identifier, read
from cds.bulk.provenance import Activity
from cds.bulk.run_folder import OWN_ID_SYSTEM, Entry, RunFolder, batches, bearing_its_id
from cds.bulk.sending import Outcome, Write, send
from cds.bulk.tally import Became, Tally
from cds.bulk.target import Target
from cds.bulk.telling import Made, tell
from cds.bulk.write_progress import Noted, WriteProgress
from cds.errors import BedsideError

BATCH = 50
_RISK = "RiskAssessment"
_ACTIVITY: dict[Step, Activity] = {"create": "CREATE", "update": "UPDATE", "retract": "NULLIFY"}
_WRITTEN: dict[Activity, Became] = {"CREATE": "created", "UPDATE": "updated", "NULLIFY": "retracted"}
_FORESEEN: dict[Step, Became] = {step: _WRITTEN[activity] for step, activity in _ACTIVITY.items()}
_CHANGED = "it was changed or removed on the server by somebody else; --overwrite writes it all the same"
_UNHEARD = (
    "it was sent, and its answer lost; it stands there in other words, the server's or somebody else's: look at it; "
    "--overwrite writes it all the same"
)
_TWICE = "the server keeps more than one with its identifier"
_NO_UPDATES = 405


class _Due(NamedTuple):
    """One result to be written, and what the server keeps of it now."""

    entry: Entry
    step: Step
    there: Json | None


class Writing:
    """One run and one server. `overwrite`: also what was changed there; `report` hears of progress, batch by batch.

    `void`: the ids of results that a later run retracts, which are not written, whatever is asked for.
    """

    def __init__(
        self,
        run: RunFolder,
        target: Target,
        abilities: Abilities,
        progress: WriteProgress,
        *,
        overwrite: bool = False,
        void: frozenset[str] = frozenset(),
        size: int = BATCH,
        report: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        self._run, self._target, self._abilities, self._progress = run, target, abilities, progress
        self._overwrite, self._void, self._size, self._report = overwrite, void, size, report
        self._sent: set[str] = set()
        """Of this batch, what was sent in this process: found there afterwards, it was written by us."""
        self._made: list[Made] = []

    async def would(self) -> Tally:
        """What `write` would do. Only reads."""
        tally = Tally(self._run.lines, dry_run=True)
        return await self._through(tally, self._foresee)

    async def write(self) -> Tally:
        """Write all. What the server did not take is counted, and so is what was left when the server was lost."""
        tally = await self._through(Tally(self._run.lines), self._settle)
        if tally.ended and self._progress.ended != self._run.record.digest:
            self._progress.note(Noted("ended", digest=self._run.record.digest))
            self._keep_all(tally)
        return tally

    async def _through(self, tally: Tally, each: Callable[[list[Entry], Tally], Awaitable[None]]) -> Tally:
        self._report(tally)  # at once: whoever interrupts it has counts from the first result on
        try:
            for batch in batches(self._entries(), self._size):
                await each(self._holding(batch, tally), tally)
                self._report(tally)
        except BedsideError as fault:
            tally.stopped = fault.message
        finally:
            self._keep_all(tally)
        return tally

    def _entries(self) -> Iterator[Entry]:
        """As they are sent on this road."""
        entries = self._run.entries()
        return entries if self._abilities.road == "put" else map(bearing_its_id, entries)

    def _holding(self, batch: list[Entry], tally: Tally) -> list[Entry]:
        """What no later run retracts; the others are counted."""
        holding = [entry for entry in batch if entry.retracts or entry.id not in self._void]
        tally.became["retracted later"] += len(batch) - len(holding)
        return holding

    def _keep_all(self, tally: Tally) -> None:
        """What was written is counted whether or not the disk takes its note: the next run asks the server."""
        try:
            self._progress.keep()
        except BedsideError as fault:
            tally.stopped = tally.stopped or fault.message

    async def _foresee(self, batch: list[Entry], tally: Tally) -> None:
        for one in await self._due(batch, tally):
            tally.count(one.entry, _FORESEEN[one.step])

    async def _settle(self, batch: list[Entry], tally: Tally) -> None:
        """Look, write what is due, and look again at what may pass: so that a retry, too, overwrites nobody."""
        self._sent, self._made = set(), []
        left = [(entry, 0) for entry in batch]
        for attempt in range(self._target.patience.tries):
            if attempt:
                await self._target.rest(attempt - 1)
            left = await self._round([entry for entry, _ in left], tally)
            if not left:
                break
        for entry, status in left:
            self._failed(entry, status, tally)
        await tell(self._made, self._run, self._target, self._abilities, self._progress, tally)

    async def _round(self, entries: list[Entry], tally: Tally) -> list[tuple[Entry, int]]:
        """One look and one sending; the entries that are to be tried again, with the status that each had."""
        due, before = await self._due(entries, tally), frozenset(self._sent)
        for one in due:
            self._sent.add(one.entry.id)
            noted = Noted("sent", one.entry.id, digest=one.entry.digest, activity=_ACTIVITY[one.step])
            self._progress.note(noted)
        self._progress.keep()  # before it is sent: whatever a kill cuts off, the next run knows what to look for
        outcomes = await send(self._target, [self._write(one) for one in due], bundles=self._abilities.bundles)
        left = []
        for one, outcome in zip(due, outcomes, strict=True):
            if outcome.status == 200 and self._conditional(one):
                if not outcome.repeated and one.entry.id not in before:
                    self._somebodys(one.entry)
                left.append((one.entry, outcome.status))
            elif outcome.ok and self._conditional(one) and outcome.id is None:
                left.append((one.entry, outcome.status))  # under which id it is kept, the next look tells
            elif outcome.ok:
                self._wrote(one, outcome, tally)
            elif outcome.passing:
                left.append((one.entry, outcome.status))
            else:
                self._failed(one.entry, outcome.status, tally)
        self._progress.keep()
        return left

    async def _due(self, entries: list[Entry], tally: Tally) -> list[_Due]:
        """The entries that are to be written; the others are counted."""
        found = await self._look(entries)
        due = []
        for entry in entries:
            kept = found.get(entry.id, [])
            if len(kept) > 1:
                tally.count(entry, "failed", _TWICE)
                continue
            there = kept[0] if kept else None
            known = self._progress.of(entry.id)
            ended = self._run.recorded
            step = decide(entry, there, known, self._target.base, ended, overwrite=self._overwrite)
            if step not in WRITES:
                self._left_alone(entry, step, there, tally)
            elif there is not None and not self._abilities.updates:
                self._failed(entry, _NO_UPDATES, tally)
            else:
                due.append(_Due(entry, step, there))
        return due

    async def _look(self, entries: list[Entry]) -> dict[str, list[Json]]:
        """What the server keeps of each, by our id."""
        if self._abilities.road == "put":
            found = {id_: [resource] for id_, resource in (await self._look_by_id(entries)).items()}
        else:
            found = await by_identifier(self._target, [entry.id for entry in entries])
            found = {id_: resources for id_, resources in found.items() if resources}
        # A search may lag behind the writes that a killed run made just now; a read does not.
        known = {entry.id: self._progress.of(entry.id) for entry in entries if entry.id not in found}
        lost = {one.server_id: id_ for id_, one in known.items() if one is not None and one.server_id}
        again = await read(self._target, _RISK, lost)
        return found | {lost[server_id]: [resource] for server_id, resource in again.items()}

    async def _look_by_id(self, entries: list[Entry]) -> dict[str, Json]:
        searchable = _RISK in self._abilities.found_by_id
        found = await by_id(self._target, _RISK, [entry.id for entry in entries], searchable=searchable)
        if not searchable or not self._abilities.reads:
            return found
        # A result that no search finds is created, and by its id it is one; a retraction would be lost for good.
        missed = [entry.id for entry in entries if entry.retracts and entry.id not in found]
        return found | await read(self._target, _RISK, missed)

    def _left_alone(self, entry: Entry, step: Step, there: Json | None, tally: Tally) -> None:
        known = self._progress.of(entry.id)
        if step == "changed there":
            unheard = there is not None and known is not None and known.unheard(entry.digest)
            tally.count(entry, "changed there", _UNHEARD if unheard else _CHANGED)
            return
        if step == "nothing there" or there is None:
            tally.count(entry, "nothing there")
            return
        activity = known.activity if known is not None else None
        ours = entry.id in self._sent and activity is not None
        tally.count(entry, _WRITTEN[activity] if ours and activity else "unchanged")
        if tally.dry_run:
            return
        self._keep(entry, str(there.get("id")), version_of(there))
        if known is not None and activity is not None and known.owes(entry.digest):
            self._made.append(Made(entry, str(there.get("id")), activity))

    def _wrote(self, one: _Due, outcome: Outcome, tally: Tally) -> None:
        kept_as = str(one.there.get("id")) if one.there is not None else None
        server_id = outcome.id or kept_as or one.entry.id
        self._keep(one.entry, server_id, outcome.version)
        self._made.append(Made(one.entry, server_id, _ACTIVITY[one.step]))
        tally.count(one.entry, _FORESEEN[one.step])

    def _keep(self, entry: Entry, server_id: str, version: str | None) -> None:
        known = self._progress.of(entry.id)
        if known is None or (known.digest, known.version, known.server_id) != (entry.digest, version, server_id):
            noted = Noted("there", entry.id, digest=entry.digest, version=version, server_id=server_id)
            self._progress.note(noted)

    def _somebodys(self, entry: Entry) -> None:
        """The first try of a conditional create found one; after a try that was cut off, it would be ours."""
        self._sent.discard(entry.id)
        self._progress.note(Noted("not ours", entry.id))

    def _failed(self, entry: Entry, status: int, tally: Tally) -> None:
        tally.fail(entry, status)
        self._progress.note(Noted("failed", entry.id, file=entry.file, line=entry.line, status=status))

    def _conditional(self, one: _Due) -> bool:
        return self._abilities.road == "conditional" and one.step == "create"

    def _write(self, one: _Due) -> Write:
        """Every one of them may be sent twice: by PUT the second changes nothing, by conditional create it finds it."""
        resource = one.entry.resource
        if self._conditional(one):
            without_id = {name: value for name, value in resource.items() if name != "id"}
            return Write("POST", _RISK, without_id, unless=f"identifier={OWN_ID_SYSTEM}|{one.entry.id}")
        id_ = resource["id"] if one.there is None else str(one.there.get("id"))
        version = version_of(one.there) if one.there is not None and self._abilities.versions else None
        return Write("PUT", f"{_RISK}/{id_}", {**resource, "id": id_}, if_match=f'W/"{version}"' if version else None)
