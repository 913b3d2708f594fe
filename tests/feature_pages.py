"""Makes docs/features.md: each feature kind, what it reads, and the cases by which its tests say what it means."""

import ast
import importlib
import inspect
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import cds
from cds import STAY_CODES, Need, days, lab_series, months
from cds.features.feature import Feature
from cds.fhir.codes import URIS
from tests.spec.charts import AT, DIALYSIS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "features.md"
_VITALS = cds.VitalSigns()
EXAMPLES: Mapping[str, Feature[Any]] = {
    "Age": cds.Age(),
    "Sex": cds.Sex(),
    "Deceased": cds.Deceased(),
    "Race": cds.Race(),
    "Latest": cds.Latest(lab_series("creatinine"), within=months(12)),
    "Series": lab_series("creatinine"),
    "MeanOf": cds.MeanOf(lab_series("sbp"), at_most=3, within=months(12)),
    "BodyMassIndex": cds.BodyMassIndex(within=months(24)),
    "Smoking": cds.Smoking(),
    "Ever": cds.Ever(DIALYSIS, needs=(cds.CONDITIONS, cds.PROCEDURES, cds.ENCOUNTERS)),
    "diagnosed": cds.diagnosed("diabetes"),
    "Charlson": cds.Charlson({"dementia": 3}, ()),
    "Taking": cds.Taking("statin"),
    "Answered": cds.Answered("reduced_mobility", within=days(7)),
    "VitalSigns": _VITALS,
    "Vital": _VITALS.of("resp_rate"),
    "OxygenSupport": cds.OxygenSupport(_VITALS),
    "Consciousness": cds.Consciousness(_VITALS),
    "LengthOfStay": cds.LengthOfStay(),
    "AcuteAdmission": cds.AcuteAdmission(),
    "EmergencyVisits": cds.EmergencyVisits(days(180)),
    "Admissions": cds.Admissions(days(365)),
    "FromService": cds.FromService(STAY_CODES["oncology_service"], STAY_CODES["other_service"]),
    "LastOfStay": cds.LastOfStay(lab_series("hemoglobin")),
    "ProcedureInStay": cds.ProcedureInStay(STAY_CODES["coded_procedure"]),
}
"""One of each kind, in the order of the page: what it reads is asked of it."""
HEAD = f"""# What each feature kind answers

Made by `python -m tests.feature_pages` from the tables of `tests/spec`; a test fails when it is stale. Every line of a
table is a test.

The charts are small tables: a line is a FHIR resource, the first column its id, an empty cell a member that is not
there. They are read at {AT:%-d %b %Y, %H:%M} UTC unless a line says another time. An answer is a value with the id of
the resource that it is from (`1.4 mg/dL from newest`), or the reason for which there is none (`too old`). Never is a
value put in the place of one that is missing.
"""
_TABLE = re.compile(r"\s*(?:Observation|Condition|Procedure|Encounter|Medication\w*) \|")
_WRAPPERS = frozenset({"extension", "coding", "valueCodeableConcept", "valueCoding", "valueString", "valuePeriod"})
_SHORT = {uri: name for name, uris in URIS.items() for uri in uris[:1]}

Test = Callable[..., object]


def features() -> dict[str, list[Test]]:
    """The tests that tabulate each kind, in the order of the files and of their lines."""
    found: dict[str, list[Test]] = defaultdict(list)
    for path in sorted((HERE / "spec").glob("test_*.py")):
        module = importlib.import_module(f"tests.spec.{path.stem}")
        for test in vars(module).values():
            for mark in getattr(test, "pytestmark", ()) if inspect.isfunction(test) else ():
                if mark.name == "feature":
                    found[mark.args[0]].append(test)
    return found


def page() -> str:
    """The page's Markdown."""
    tests = features()
    parts = [HEAD]
    for kind, example in EXAMPLES.items():
        parts += [f"## {kind}\n", inspect.getdoc(getattr(cds, kind)) or "", "", *_reads(example.needs()), ""]
        parts += [line for test in tests.get(kind, ()) for line in _cases(test)]
    return "\n".join(parts)


def _reads(needs: tuple[Need, ...]) -> Iterator[str]:
    if not needs:
        yield "It reads the Patient and nothing else."
        return
    yield "| it reads | of type | code sets | when it cannot be read |"
    yield "|---|---|---|---|"
    for need in dict.fromkeys(needs):
        sets = ", ".join(f"`{codes.name}`" for codes in need.codes) or "every one"
        included = f" with its {need.include}" if need.include else ""
        lost = "the question fails" if need.required else "said, where it matters"
        yield f"| `{need.key}` | {need.resource_type}{included} | {sets} | {lost} |"


def _cases(test: Test) -> Iterator[str]:
    file = Path(inspect.getfile(test)).relative_to(HERE)
    title = re.sub(r"^test_(d\d+_)?", "", test.__name__).replace("_", " ")
    yield f"### {title[0].upper()}{title[1:]}\n"
    yield f"[`{file}`](../tests/{file})\n"
    module = importlib.import_module(test.__module__)
    for table in dict.fromkeys(_charts(test, module)):
        yield f"```\n{table}\n```\n"
    for mark in reversed(test.pytestmark):  # type: ignore[attr-defined]
        if mark.name == "parametrize":
            yield from _rows(*mark.args)


def _rows(names: str | tuple[str, ...], cases: list[Any]) -> Iterator[str]:
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    yield f"| {' | '.join(name.strip('_').replace('_', ' ') for name in columns)} |"
    yield "|" + "---|" * len(columns)
    for case in cases:
        values = (case,) if len(columns) == 1 else case
        yield f"| {' | '.join(_cell(value) for _, value in zip(columns, values, strict=True))} |"
    yield ""


def _cell(value: object) -> str:
    """Lines of a table one below the other, members of a resource in one line."""
    if isinstance(value, str | tuple):
        lines = value.splitlines() if isinstance(value, str) else [str(line) for line in value]
    else:
        lines = [_member(value)]
    for_people = (_shortened(line.strip()).replace("|", "\\|") for line in lines)
    return "<br>".join(f"`{line}`" for line in for_people if line)


def _member(value: object) -> str:
    """FHIR's JSON without what only wraps: an extension by the end of its URL, a coding as `system|code`."""
    if isinstance(value, list):
        return "; ".join(map(_member, value))
    if not isinstance(value, dict):
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)
    if "code" in value and "system" in value:
        return f"{value['system']}|{value['code']}"
    named = value.get("url", "").rpartition("/")[2]
    inner = [(key, part, _member(part)) for key, part in value.items() if part is not None and key != "url"]
    listed = ((key, f"[{said}]" if isinstance(part, list) else said, said) for key, part, said in inner)
    said = ", ".join(bare if key in _WRAPPERS else f"{key} {shown}" for key, shown, bare in listed)
    return f"{named}: {said}" if named and said else named or said


def _shortened(text: str) -> str:
    """The text with the short name of each code system instead of its URI."""
    for uri, name in _SHORT.items():
        text = text.replace(f"{uri}|", f"{name}|")
    return text


def _charts(called: Test, module: ModuleType, *, deeper: bool = True) -> Iterator[str]:
    """The tables in a test's body, with what the cases fill in in braces; and those of what it calls."""
    [function] = ast.parse(textwrap.dedent(inspect.getsource(called))).body
    body = function.body if isinstance(function, ast.FunctionDef) else []
    for node in (node for statement in body for node in _walk(statement)):
        named = vars(module).get(node.id) if isinstance(node, ast.Name) else _text(node)
        if deeper and inspect.isfunction(named) and named.__module__ == module.__name__:
            yield from _charts(named, module, deeper=False)
        if isinstance(named, str) and _TABLE.match(named):
            yield "\n".join(line.strip() for line in named.strip().splitlines())


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, but for the parts of a formatted string."""
    yield node
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from _walk(child)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(filter(None, map(_text, node.values)))
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
