"""`bedside new`: the files of a new model or a new service, in a site's own folder."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from cds.cli import scaffold
from cds.cli.common import USAGE, out, stop, told
from cds.cli.naming import class_name, free, refuse_clash, refuse_unknown_model
from cds.cli.taking import Taken, from_joblib, from_skops
from cds.features.labs import LAB_CODES
from cds.fhir.units import analytes
from cds.risk.model_card import SOURCE_ATTRIBUTES

app = typer.Typer(help="Write the files of a new model or a new service.", no_args_is_help=True)

_OF_A_SCORE = "[]  # within how many years; [] for a score"
_OF_A_TRAINED_ONE = "[5]  # FILL IN: within how many years; a trained model has exactly one horizon"

SiteFolder = Annotated[Path, typer.Option("--site", help="The site's folder. Default: this one.", show_default=False)]
NameArgument = Annotated[str, typer.Argument(help="Its id: small letters, digits and dashes.")]


@app.command("model", short_help="Write models/NAME/ with model.py, card.yaml and reference.csv.")
def new_model(
    name: NameArgument,
    joblib: Annotated[Path | None, typer.Option("--from-joblib", help="Your team's own scikit-learn pipeline.")] = None,
    skops: Annotated[Path | None, typer.Option("--from-skops", help="A pipeline that came from outside.")] = None,
    examples: Annotated[
        Path | None, typer.Option(help="A CSV of made-up rows for the golden vectors: a column for each of the file's.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Say that the joblib file is your team's own.")] = False,
    site: SiteFolder = Path(),
) -> None:
    """Write a new model's files; with --from-joblib those of a trained one, which runs in shadow until validated.

    A joblib file runs whatever it holds when it is opened: it is hashed first, and opened once you say it is yours.
    """
    if joblib and skops:
        stop(USAGE, "write --from-joblib or --from-skops, not both")
    with told():
        folder = free("models", name, site)
        taken = from_joblib(joblib, examples, mine=mine) if joblib else from_skops(skops, examples) if skops else None
    files = _trained(name, taken) if taken else _formula(name)
    refuse_clash(name, class_name(name), files["model.py"])
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_text(content, encoding="utf-8")
        out.print(f"wrote {folder / file}")
    if taken:
        (folder / "model.joblib").write_bytes(taken.content)
        out.print(f"wrote {folder / 'model.joblib'}, SHA-256 {taken.artefact['sha256']}")
    out.print(
        f"Until it is complete the site does not start. What is missing: bedside models check {name} --site {site}"
    )


@app.command("service", short_help="Write hooks/NAME.py.")
def new_service(
    name: NameArgument,
    model: Annotated[str, typer.Option("--model", help="The id of the model it runs.")],
    site: SiteFolder = Path(),
) -> None:
    """Write a service that shows a model's number on a card when a threshold of the model's card is crossed."""
    with told():
        file = free("hooks", name, site).with_suffix(".py")
        refuse_unknown_model(model)
    if file.exists():
        stop(USAGE, f"{file} is there already")
    function = name.replace("-", "_")
    content = scaffold.SERVICE.substitute(id=name, title=_title(name), function=function, model=model)
    refuse_clash(name, function, content)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    out.print(f"wrote {file}")
    out.print(f'It is off until site.toml says [services.{name}] and stage = "shadow", or later "live".')


def _formula(name: str) -> dict[str, str]:
    inputs = {"age": "completed years on the day of the calculation", "creatinine": "in mg/dL, newest of 12 months"}
    code = scaffold.FORMULA.substitute(id=name, cls=class_name(name), title=_title(name))
    return {
        "model.py": code,
        "card.yaml": _card(name, _OF_A_SCORE, inputs),
        "reference.csv": "age,creatinine,expected\n",
    }


def _trained(name: str, taken: Taken) -> dict[str, str]:
    """The files around a trained one; what a column means is guessed from its name, and marked to be confirmed."""
    used = {"Deceased", "Missing", "Predictors", "Reading", "Reference", "Refusal", "TrainedModel", "slug"}
    features, columns, inputs = [], [], {}
    for column in taken.artefact["columns"]:
        feature, words, value = _guess(column)
        if feature is None:
            columns.append(f"            # FILL IN: which feature gives the column {column!r}, in which unit")
            continue
        used |= {word for word in ("Age", "Sex", "Latest", "lab_series", "months") if word in feature}
        source = "sex" if column in ("sex", "male") else column
        features.append(f"    {source} = {feature}\n")
        columns.append(f"            # FILL IN: trained with {words}? Then delete this line\n            {value}")
        inputs[source] = words
    code = scaffold.TRAINED.substitute(
        id=name,
        cls=class_name(name),
        imports="\n".join(f"    {word}," for word in sorted(used, key=lambda word: (word[0].islower(), word))),
        features="".join(features),
        columns="\n".join(columns),
    )
    golden = [[*row.values(), repr(probability)] for row, probability in taken.golden]
    card = _card(name, _OF_A_TRAINED_ONE, inputs) + yaml.safe_dump({"artefact": taken.artefact}, sort_keys=False)
    return {
        "model.py": code,
        "card.yaml": f"{card}# validation: until it stands here the model runs in shadow only\n",
        "golden.csv": _csv([*taken.artefact["columns"], "probability"], golden),
        "reference.csv": _csv([*inputs, "expected"], []),
    }


def _guess(column: str) -> tuple[str | None, str, str]:
    """The feature that a column's name suggests, its words with the unit, and how the column follows from it."""
    if column == "age":
        return "Age()", "completed years", '"age": _number(row.age),'
    if column in ("sex", "male"):
        return "Sex()", "1 for male and 0 for female", f'"{column}": _male(row.sex),'
    if column in analytes() and column in LAB_CODES:
        unit = analytes()[column].unit
        feature = f'Latest(lab_series("{column}", count=10), within=months(12))'
        return feature, f"{column} in {unit}, the newest of 12 months", f'"{column}": _number(row.{column}),'
    return None, "", ""


def _csv(names: list[str], rows: Sequence[Sequence[object]]) -> str:
    from io import StringIO

    kept = StringIO()
    csv.writer(kept, lineterminator="\n").writerows([names, *rows])
    return kept.getvalue()


def _card(name: str, horizons: str, inputs: dict[str, str]) -> str:
    return scaffold.CARD.substitute(
        id=name,
        folder=name,
        title=_title(name),
        horizons=horizons,
        inputs="\n".join(f"  {one}: {words}" for one, words in inputs.items()) or "  {}",
        attributes="\n".join(f"  {number}: not available" for number in range(1, SOURCE_ATTRIBUTES + 1)),
    )


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
