"""Whom no kidney model scores because of an acute injury."""

from collections.abc import Iterator

from cds import Missing, Reading, Refusal, cut


def acute_refusals(
    diagnosis: Reading[bool] | Missing, rise: Reading[bool] | Missing, unexplained: Reading[float] | Missing
) -> Iterator[Refusal]:
    """Acute kidney injury recorded or seen in creatinine within 90 days, or a rise that nothing explains yet."""
    acute = diagnosis if isinstance(diagnosis, Reading) else rise
    if isinstance(acute, Reading):
        yield Refusal("aki", f"acute kidney injury {acute.date}; repeat when stable, 90 days after")
    if isinstance(unexplained, Reading):
        yield Refusal("creatinine-rise", f"creatinine up from {cut(unexplained.as_sent, 40)}")
