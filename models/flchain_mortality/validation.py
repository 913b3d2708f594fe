"""Internal validation: how well the model tells who dies within five years, and whether its numbers are right."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.flchain_mortality.cohort import Cohort, Flags, Numbers, weights

FOLDS, SAMPLES, SEED = 10, 1000, 20261122
BANDS = ((50, 59), (60, 69), (70, 79), (80, 95))
DONE_ON = "2026-11-22"
Fit = Callable[[Cohort], Any]


def validation(people: Cohort, fit: Fit, *, samples: int = SAMPLES) -> dict[str, Any]:
    """The card's `validation`: all, by sex and by age band, each figure with its 95% interval."""
    risks = unseen(people, fit)
    return {
        "kind": "internal",
        "data": "flchain of the R package survival: Olmsted County, Minnesota, 1995-2003; those whom it scores",
        "method": (
            f"{FOLDS}-fold cross-validation: each person's risk comes from models that did not see that person. Those "
            "lost before five years are weighted for (inverse probability of censoring). Intervals: 2.5th to 97.5th "
            f"percentile of {samples} bootstrap samples of people, censoring weights made anew in each"
        ),
        "done_by": "the authors of Bedside, with train.py",
        "done_on": DONE_ON,
        "groups": [performance(name, people.of(which), risks[which], samples) for name, which in groups(people)],
    }


def groups(people: Cohort) -> Iterator[tuple[str, Flags]]:
    yield "all", np.ones(len(people), dtype=bool)
    yield "women", people.male == 0
    yield "men", people.male == 1
    for low, high in BANDS:
        yield f"age {low} to {high}", (people.age >= low) & (people.age <= high)


def unseen(people: Cohort, fit: Fit) -> Numbers:
    """Each person's risk by a model that was trained without that person's tenth of the cohort."""
    fold = np.random.default_rng(SEED).permutation(len(people)) % FOLDS
    risks = np.zeros(len(people))
    for one in range(FOLDS):
        estimator = fit(people.of(fold != one))
        risks[fold == one] = estimator.predict_proba(people.columns[fold == one])[:, 1]
    return risks


def performance(name: str, people: Cohort, risks: Numbers, samples: int) -> dict[str, Any]:
    found = figures(people, risks)
    draws = np.random.default_rng(SEED)
    drawn: list[tuple[float, ...]] = []
    for _ in range(samples):
        which: NDArray[np.intp] = draws.integers(0, len(people), len(people))
        drawn.append(figures(people.of(which), risks[which]))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0) if drawn else (found, found)
    told = [[round(float(value), 3) for value in three] for three in zip(found, low, high, strict=True)]
    return {
        "group": name,
        "people": len(people),
        "events": int(people.dead_by_five_years.sum()),
        "discrimination": told[0],
        "observed_expected": told[1],
        "slope": told[2],
    }


def figures(people: Cohort, risks: Numbers) -> tuple[float, float, float]:
    """The c-statistic at five years, observed over expected deaths, and the slope of the calibration line."""
    known, died, weight = people.known, people.dead_by_five_years, weights(people)
    area = roc_auc_score(died[known], risks[known], sample_weight=weight[known])
    observed = float((weight * died).sum() / weight.sum())
    return float(area), observed / float(risks.mean()), _slope(died[known], risks[known], weight[known])


def _slope(died: Flags, risks: Numbers, weight: Numbers) -> float:
    """Of the weighted logistic line of death on the log odds of the risk, by Newton's method."""
    line = np.column_stack([np.ones(len(risks)), np.log(risks / (1 - risks))])
    found = np.array([0.0, 1.0])
    for _ in range(25):
        fitted = 1 / (1 + np.exp(-line @ found))
        curvature = (line * (weight * fitted * (1 - fitted))[:, None]).T @ line
        step = np.linalg.solve(curvature, line.T @ (weight * (died - fitted)))
        found = found + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(found[1])
