"""Looks up what a server keeps already, by reads and searches alone."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from urllib.parse import quote

from cds.bulk.content import Json, complains
from cds.bulk.run_folder import OWN_ID_SYSTEM, identifiers
from cds.bulk.target import Answer, Target
from cds.errors import DataUnavailable
from cds.fhir.http import below

IN_A_SEARCH = 40
"""Ids in one URL, which stays below 4,000 characters."""
_STRICT = {"Prefer": "handling=strict"}  # a parameter that is passed over would find everybody's
_ABSENT = (404, 410)


async def by_id(target: Target, kind: str, ids: Sequence[str], *, searchable: bool) -> dict[str, Json]:
    """The resources of these ids that are there. Raises DataUnavailable."""
    if not searchable:
        return await read(target, kind, ids)
    found: dict[str, Json] = {}
    for part in _parts(ids):
        query = f"{kind}?_id={','.join(part)}&_count={len(part)}"
        for resource in await _search(target, kind, query, len(part)):
            if resource.get("id") in part:
                found[str(resource["id"])] = resource
    return found


async def read(target: Target, kind: str, ids: Iterable[str]) -> dict[str, Json]:
    """The same, each read by itself."""
    answers = {id_: target.ask("GET", f"{kind}/{id_}") for id_ in ids}
    gathered = zip(answers, await asyncio.gather(*answers.values()), strict=True)
    return {id_: _resource(answer, kind) for id_, answer in gathered if answer.status not in _ABSENT}


async def by_identifier(target: Target, ids: Sequence[str]) -> dict[str, list[Json]]:
    """The RiskAssessments that bear these ids of ours as identifiers. Raises DataUnavailable."""
    found: dict[str, list[Json]] = {id_: [] for id_ in ids}
    for part in _parts(ids):
        tokens = ",".join(quote(f"{OWN_ID_SYSTEM}|{id_}", safe="") for id_ in part)
        resources = await _search(target, "RiskAssessment", f"RiskAssessment?identifier={tokens}", len(part))
        for resource in {str(one.get("id")): one for one in resources}.values():  # a page may repeat one
            for id_ in set(identifiers(resource, OWN_ID_SYSTEM)) & set(part):
                found[id_].append(resource)
    return found


def _parts(values: Sequence[str]) -> Iterable[list[str]]:
    rest = iter(values)
    while part := list(islice(rest, IN_A_SEARCH)):
        yield part


async def _search(target: Target, kind: str, query: str, expected: int) -> list[Json]:
    """All pages of a search; a server that finds far more than was asked for did not understand it."""
    found: list[Json] = []
    link: str | None = query
    pages = 0
    while link is not None:
        page = _resource(await target.ask("GET", link, headers=_STRICT), "Bundle")
        resources = [one["resource"] for one in _objects(page, "entry") if isinstance(one.get("resource"), dict)]
        if any(complains(resource) for resource in resources):
            raise DataUnavailable(
                f"the FHIR server did not search {kind} to the end: it found some, and tells an error"
            )
        found += [resource for resource in resources if resource.get("resourceType") == kind]
        pages += 1
        if pages > expected + 1 or len(found) > 2 * expected + 10:
            raise DataUnavailable(f"the FHIR server does not search {kind} as it says: it found what was not asked for")
        urls = [one.get("url") for one in _objects(page, "link") if one.get("relation") == "next"]
        link = below(target.base, str(urls[0])) if urls else None
    return found


def _objects(document: Json, name: str) -> list[Json]:
    value = document.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _resource(answer: Answer, kind: str) -> Json:
    document = answer.json()
    if answer.status != 200:
        raise DataUnavailable(f"the FHIR server answered {answer.status} when it was asked what it keeps")
    if document is None or document.get("resourceType") != kind:
        raise DataUnavailable(f"the FHIR server's answer cannot be read: it is no {kind}")
    return document
