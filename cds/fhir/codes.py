"""Which codes mean which thing: closed code sets, and the vocabulary that finds a coding's sets at once."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Literal
from urllib.parse import quote

from msgspec import Struct, convert

from cds.fhir.resources import CodeableConcept, Coding

Match = Literal["exact", "prefix", "range", "except", "never"]
TypeOfCoding = tuple[str | None, str | None]
Hit = tuple[str, Coding]
"""The name of a code set, and the coding that is in it."""

BARRED = "!"
"""Before a set's name in what `Vocabulary.sets_of` answers: this coding keeps its resource out of that set."""

FEATURE_SYSTEM = "urn:bedside:feature"
"""The system of Bedside's own names: a site maps a local code to a feature by giving it a coding of this system."""

URIS: dict[str, tuple[str, ...]] = {
    "loinc": ("http://loinc.org",),
    "snomed": ("http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96"),
    "cpt": ("http://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12"),
    "hcpcs": (
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    ),
    "icd10cm": (
        "http://hl7.org/fhir/sid/icd-10-cm",
        "urn:oid:2.16.840.1.113883.6.90",
        "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-diagnosis-icd10",
    ),
    "icd10who": (
        "http://hl7.org/fhir/sid/icd-10",
        "http://hl7.org/fhir/sid/icd-10-uk",
        "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
    ),
    "icd9cm": (
        "http://hl7.org/fhir/sid/icd-9-cm",
        "urn:oid:2.16.840.1.113883.6.103",
        "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-diagnosis-icd9",
    ),
    "icd9proc": (
        "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-procedure-icd9",
        "urn:oid:2.16.840.1.113883.6.104",
    ),
    "icd10pcs": (
        "http://www.cms.gov/Medicare/Coding/ICD10",
        "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-procedure-icd10",
    ),
    "rxnorm": ("http://www.nlm.nih.gov/research/umls/rxnorm", "urn:oid:2.16.840.1.113883.6.88"),
    "atc": ("http://www.whocc.no/atc", "urn:oid:2.16.840.1.113883.6.73"),
    "bedside": (FEATURE_SYSTEM,),
}
"""The URIs under which each code system travels; the system is half of a code's meaning ("403" is two things)."""

_SYSTEM_OF = {uri: name for name, uris in URIS.items() for uri in uris}


def system_named(uri: str | None) -> str | None:
    """The short name of the code system with this URI, or None when no code set here uses it."""
    return _SYSTEM_OF.get(uri or "")


def normal(system: str, code: str) -> str:
    """Upper-case, and of an ICD without dots: hospitals send N18.6, N186 and n186 for one diagnosis."""
    return code.upper().replace(".", "") if system.startswith("icd") else code.upper()


class Entry(Struct, frozen=True):
    """One line of a code set: an exact code, a prefix (ICD), a range ("90951-90970"), or a prefix that is not meant."""

    system: str
    code: str
    match: Match = "exact"
    display: str = ""
    note: str = ""


class CodeSet:
    """A closed, named set of codes: exact ones, and prefixes (ICD, ATC) of which the longest wins."""

    def __init__(self, name: str, entries: Iterable[Entry]) -> None:
        self.name = name
        self.entries = tuple(entries)

    def __repr__(self) -> str:
        return f"CodeSet({self.name!r}, {len(self.entries)} codes)"

    @cached_property
    def _by_match(self) -> dict[Match, list[tuple[str, str]]]:
        found: dict[Match, list[tuple[str, str]]] = {"exact": [], "prefix": [], "range": [], "except": [], "never": []}
        for entry in self.entries:
            found[entry.match].append((entry.system, normal(entry.system, entry.code)))
        return found

    def holds(self, system: str, code: str) -> bool:
        """Whether the set means this code of the code system with that short name."""
        if system == "bedside":
            return code == self.name
        code = normal(system, code)
        if (system, code) in self._exact:
            return True
        if any(s == system and low <= code <= high for s, low, high in self._ranges if len(code) == len(low)):
            return True
        meant = self._longest("prefix", system, code)
        return meant > 0 and meant > self._longest("except", system, code)

    def bars(self, system: str, code: str) -> bool:
        """Whether a resource with this code is not meant, whatever its other codings say."""
        return (system, normal(system, code)) in self._by_match["never"]

    @cached_property
    def _exact(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._by_match["exact"])  # a set of drugs or cancers has thousands

    @cached_property
    def _ranges(self) -> list[tuple[str, str, str]]:
        return [(system, *code.split("-", 1)) for system, code in self._by_match["range"]]  # type: ignore[misc]

    def _longest(self, match: Match, system: str, code: str) -> int:
        return max((len(p) for s, p in self._by_match[match] if s == system and code.startswith(p)), default=0)

    def tokens(self) -> Iterator[str]:
        """FHIR search tokens `system|code` for the exact codes, in the order in which the set was written."""
        for entry in self.entries:
            if entry.match == "exact":
                yield f"{URIS[entry.system][0]}|{entry.code}"


def read_code_sets(source: Traversable) -> dict[str, CodeSet]:
    """Code sets from a CSV file with the columns set, system, code, match, display, note."""
    sets: dict[str, list[Entry]] = {}
    with source.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            sets.setdefault(row.pop("set"), []).append(convert(row, Entry))
    return {name: CodeSet(name, entries) for name, entries in sets.items()}


class Vocabulary:
    """All code sets that somebody asks for, with the site's codes; answers "which sets hold this coding?" at once."""

    _LIMIT = 100_000  # codings remembered; codes come from the wire, and the wire does not decide how much we keep
    _LONGEST = 300  # characters of a coding worth remembering

    def __init__(
        self,
        sets: Iterable[CodeSet],
        local: Mapping[tuple[str, str], str] | None = None,
        units: Mapping[tuple[str, str], Mapping[str, str]] | None = None,
    ) -> None:
        self.sets = {s.name: s for s in sets}
        self.local = dict(local or {})
        self.units = dict(units or {})
        self._known: dict[TypeOfCoding, tuple[str, ...]] = {}

    def only(self, sets: Iterable[CodeSet]) -> "Vocabulary":
        """The same vocabulary for some of its sets."""
        kept = {s.name: s for s in sets}
        local = {coding: name for coding, name in self.local.items() if name in kept}
        return Vocabulary(kept.values(), local, self.units)

    def sets_of(self, system: str | None, code: str | None) -> tuple[str, ...]:
        """Names of the sets that hold this coding; empty for most codings of a chart."""
        key = (system, code)
        known = self._known.get(key)
        return self._look_up(key) if known is None else known

    def hits(self, concept: CodeableConcept | None) -> Sequence[Hit]:
        """The sets that hold a concept, each once, with the first coding that put the concept into it.

        A name with BARRED before it: the concept would be in the set, if another of its codings did not keep it out.
        """
        if concept is None or not concept.coding:
            return ()
        known, found = self._known, []
        for coding in concept.coding:  # every coding of a chart comes by here
            key = (coding.system, coding.code)
            names = known.get(key)
            for name in self._look_up(key) if names is None else names:
                found.append((name, coding))  # noqa: PERF401 - most codings are in no set: no comprehension for them
        plain = not found or (len(found) == 1 and not found[0][0].startswith(BARRED))
        return found if plain else _once_each(found)

    def _look_up(self, key: TypeOfCoding) -> tuple[str, ...]:
        system, code = key
        names: list[str] = []
        short = system_named(system)
        if short and code:
            names = [name for name, codes in self.sets.items() if codes.holds(short, code)]
            names += [f"{BARRED}{name}" for name, codes in self.sets.items() if codes.bars(short, code)]
        local = self.local.get((system or "", code or ""))
        if local is not None and local in self.sets and local not in names:
            names.append(local)
        found = tuple(names)
        if len(system or "") + len(code or "") <= self._LONGEST:
            if len(self._known) >= self._LIMIT:
                self._known.clear()
            self._known[key] = found
        return found

    def spelling(self, codings: Iterable[TypeOfCoding], unit: str | None) -> str | None:
        """The accepted spelling that the site maps a unit of one of these codings to, or the unit as sent.

        "" stands for no unit.
        """
        for system, code in codings:
            mapped = self.units.get((system or "", code or ""), {}).get(unit or "")
            if mapped is not None:
                return mapped
        return unit

    def tokens(self, codes: CodeSet) -> list[str]:
        """Search tokens for a set: its own exact codes, then the site's local codes for it."""
        own = [(system, code) for (system, code), name in self.local.items() if name == codes.name]
        return [*codes.tokens(), *(f"{_in_url(system)}|{_in_url(code)}" for system, code in own)]


def _once_each(hits: Sequence[Hit]) -> Sequence[Hit]:
    """The sets of a concept; of one that another coding bars it from, the name comes with BARRED before it."""
    barred = {name for name, _ in hits if name.startswith(BARRED)}
    first: dict[str, Hit] = {}
    for name, coding in hits:
        if name not in barred:
            first.setdefault(name, (BARRED + name if BARRED + name in barred else name, coding))
    return list(first.values())


def _in_url(text: str) -> str:
    """A site's own system or code inside a search: FHIR escapes what separates tokens, the URL everything else."""
    return quote(re.sub(r"([\\,|$])", r"\\\1", text), safe=":/")
