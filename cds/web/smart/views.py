"""A page as one frozen value: templates show only what stands here, and the ledger keeps it as it was shown."""

from typing import Literal

from msgspec import Struct

Told = Literal["above", "not above", "unknown"]
"""Whether a number is above a threshold; a bound may leave that open."""
State = Literal["scored", "not-scored", "unavailable", "failed"]


class Banner(Struct, frozen=True):
    """Who the patient is, from the Patient resource."""

    name: str
    born: str
    age: str
    sex: str
    identifiers: tuple[tuple[str, str], ...]
    died: str = ""
    test: bool = False


class Mark(Struct, frozen=True):
    """A threshold, what it calls for, and whether the number is above it; a bound may leave that open."""

    percent: float
    action: str
    """"" where nothing is proposed."""
    source: str
    told: Told


class Number(Struct, frozen=True):
    """A risk within a horizon: as a percentage, in people with its bound, and as how many of 100 figures are filled."""

    years: str
    percent: str
    people: str
    bound: str
    probability: float
    figures: int
    marks: tuple[Mark, ...]


class ScoreMark(Struct, frozen=True):
    """A cut-point of a score ("2 or more"), what it calls for, and whether the score reaches it."""

    cut: str
    action: str
    source: str
    told: Told


class ScoreView(Struct, frozen=True):
    """A score as a person reads it ("5 points"), with its class; or the probability of a further outcome."""

    name: str
    shown: str
    band: str
    marks: tuple[ScoreMark, ...] = ()


class Line(Struct, frozen=True):
    """An input. `why` says why it was not used; "" when it was."""

    name: str
    value: str
    note: str
    date: str
    age: str
    source: str
    why: str


class Term(Struct, frozen=True):
    """One contribution, in words and as an amount on the model's own scale, from which its bar is drawn."""

    name: str
    value: str
    reference: str
    times: str
    words: str
    amount: float


class Terms(Struct, frozen=True):
    """Every contribution, and the patient against whom they are told; points are told against nobody.

    `moves`: what each term multiplies, "the hazard", "the odds", "FIB-4"; "" where they are points.
    """

    reference: str
    risk: str
    terms: tuple[Term, ...]
    moves: str


class Day(Struct, frozen=True):
    """One day of the history; `at` in seconds since 1970, for the charts. Days that are too old are not `scored`."""

    date: str
    at: float
    measured: float | None = None
    shown: str = ""
    probability: float | None = None
    percent: str = ""
    scored: bool = True


class Course(Struct, frozen=True):
    """How it went: every day with a measurement or a risk, oldest first, and the same in one sentence.

    `unscored` says which days nobody scored; "" when all were.
    """

    measure: str
    unit: str
    years: str
    days: tuple[Day, ...]
    sentence: str
    unscored: str = ""


class Guide(Struct, frozen=True):
    """A link to a guideline."""

    label: str
    url: str


class Step(Struct, frozen=True):
    """What a card of the service says: the same words as in the chart."""

    summary: str
    warning: bool
    advice: str = ""
    notes: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    guides: tuple[Guide, ...] = ()


class KnobView(Struct, frozen=True):
    """An input of the what-if form."""

    name: str
    label: str
    unit: str
    low: str
    high: str
    value: str


class WhatIf(Struct, frozen=True):
    """Every number that was used, and what would come out; `refused` says why nothing does."""

    used: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    refused: str = ""


class About(Struct, frozen=True):
    """The model's card. `parts` are headed lists of sentences; `unverified` is what no source confirms."""

    name: str
    model: str
    version: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    unverified: tuple[str, ...]
    url: str


class Choice(Struct, frozen=True):
    """A reason that a reader may give."""

    code: str
    system: str
    label: str


class Page(Struct, frozen=True):
    """One service's page about one patient, at one moment."""

    id: str
    """The answer's id, as the ledger and the logs have it."""
    card: str
    """Under which id feedback on this page is kept."""
    service: str
    title: str
    at: str
    launched: str
    banner: Banner
    state: State
    headline: str
    steps: tuple[Step, ...] = ()
    numbers: tuple[Number, ...] = ()
    scores: tuple[ScoreView, ...] = ()
    standing: str = ""
    outcome: str = ""
    source: str = ""
    """The equation, as the card's source line names it."""
    notes: tuple[str, ...] = ()
    inputs: tuple[Line, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    """What could not be read, and why."""
    terms: Terms | None = None
    course: Course | None = None
    knobs: tuple[KnobView, ...] = ()
    what_if: WhatIf | None = None
    excluded: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    about: About | None = None
    save: str = ""
    """The identifiers under which the assessments would be saved, with blanks between; "" where they cannot be."""
    saves: tuple[str, ...] = ()
    """Of which models they are."""
    reasons: tuple[Choice, ...] = ()
    notice: str = ""
    """What became of what the reader just did."""
    failed_notice: bool = False


class Entry(Struct, frozen=True):
    """One service of the overview."""

    service: str
    title: str
    state: State
    headline: str
    numbers: tuple[Number, ...] = ()
    scores: tuple[ScoreView, ...] = ()


class Overview(Struct, frozen=True):
    """Every live service for one patient, at one moment."""

    at: str
    launched: str
    banner: Banner
    entries: tuple[Entry, ...]
    ids: tuple[str, ...]
