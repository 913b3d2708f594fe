"""A model's inputs, declared once: the row it predicts from, and what must be fetched for it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from cds.features.feature import Feature, Missing, Need, Reading
from cds.features.needs import union
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet

PATIENT = Need("patient", "Patient")


class Predictors:
    """Base of a model's row. Class attributes that are features become the row's columns.

    A row holds what each feature answered. It is all a model sees, so a stored row replays the model.
    """

    _features: ClassVar[dict[str, Feature[Any]]] = {}

    def __init_subclass__(cls) -> None:
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Feature)}
        cls._features = {**cls._features, **declared}

    def __init__(self, answers: Mapping[str, Any], at: datetime) -> None:
        self.at = at
        self.__dict__.update(answers)

    @classmethod
    def read(cls, chart: Chart, at: datetime) -> Self:
        """Ask every feature. Raises DataUnavailable when a feature needs what could not be read."""
        return cls({name: chart.read(feature, at) for name, feature in cls._features.items()}, at)

    @classmethod
    def given(cls, at: datetime, **values: Any) -> Self:
        """A row from plain values: what is not given was never recorded. Unknown names raise TypeError."""
        if unknown := set(values) - set(cls._features):
            raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
        answers = {name: _as_answer(values.get(name)) for name in cls._features}
        return cls(answers, at)

    @classmethod
    def features(cls) -> dict[str, Feature[Any]]:
        return dict(cls._features)

    @classmethod
    def needs(cls) -> tuple[Need, ...]:
        """Each need once, the Patient first; a need that any feature requires is required."""
        return union((PATIENT, *(need for feature in cls._features.values() for need in feature.needs())))

    @classmethod
    def code_sets(cls) -> tuple[CodeSet, ...]:
        """Every code set that the features read."""
        return tuple({codes.name: codes for codes in _sets(cls._features.values())}.values())

    def doubts(self) -> tuple[str, ...]:
        """What the answers note that has to be said beside every number, each once."""
        told = (self.__dict__[name].notes for name, feature in self._features.items() if feature.cautions)
        return tuple(dict.fromkeys(note for notes in told for note in notes))

    def answers(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self._features}


def _as_answer(value: Any) -> Any:
    if value is None:
        return Missing("never recorded")
    return value if isinstance(value, (Reading, Missing)) else Reading(value)


def _sets(features: Iterable[Feature[Any]]) -> Iterable[CodeSet]:
    for feature in features:
        for need in feature.needs():
            yield from need.codes
        yield from getattr(feature, "codes", ())
