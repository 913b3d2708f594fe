"""Whom no kidney model scores: the dead, children, and whose age or sex is not known; and acute injury."""

from collections.abc import Iterator
from typing import Any

from cds import Missing, Reading, Refusal
from models._kidney.words import SHOWN, cut


def person_refusals(
    deceased: Reading[bool] | Missing, age: Reading[int] | Missing, sex: Reading[Any] | Missing | None
) -> Iterator[Refusal]:
    """Death, age from 18 to 110, and sex unless it is None: for a model that does not ask."""
    if isinstance(deceased, Reading):
        yield Refusal("deceased", f"deceased {deceased.date}" if deceased.when else "deceased")
    if isinstance(age, Missing):
        how = "birth date is missing" if age.why == "never recorded" else "birth date is not precise enough"
        yield Refusal("age", how)
    elif age.value < 18:
        yield Refusal("age", "under 18")
    elif age.value > 110:
        yield Refusal("age", "age over 110: check the birth date")
    if isinstance(sex, Missing):
        yield Refusal("sex", "sex is not recorded as male or female")


def acute_refusals(
    diagnosis: Reading[bool] | Missing, rise: Reading[bool] | Missing, unexplained: Reading[float] | Missing
) -> Iterator[Refusal]:
    """Acute kidney injury recorded or seen in creatinine within 90 days, or a rise that nothing explains yet."""
    acute = diagnosis if isinstance(diagnosis, Reading) else rise
    if isinstance(acute, Reading):
        yield Refusal("aki", f"acute kidney injury {acute.date}; repeat when stable, 90 days after")
    if isinstance(unexplained, Reading):
        yield Refusal("creatinine-rise", f"creatinine up from {cut(unexplained.as_sent, 2 * SHOWN)}")
