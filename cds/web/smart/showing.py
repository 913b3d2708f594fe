"""Which services have a page, and which of an answer's outcomes it shows."""

from collections.abc import Iterable, Sequence

from cds.cdshooks.answer import Answer, Deployed
from cds.cdshooks.service import shown
from cds.risk.estimate import Outcome, Risk, beside


def pages_of(services: Iterable[Deployed]) -> tuple[Deployed, ...]:
    """The live services that have a page, in the site's order."""
    return tuple(one for one in services if one.settings.stage == "live" and one.service.has_page)


def outcomes_of(said: Answer) -> tuple[Outcome, ...]:
    """What a page is about, first, and what stands beside it: as the service says, else what its card is about."""
    wanted = said.guidance.shows if said.guidance else ()
    return tuple(said.outcomes[id_] for id_ in wanted if id_ in said.outcomes) or (shown(said.outcomes),)


def risks_of(outcomes: Sequence[Outcome]) -> tuple[Risk, ...]:
    """The scored ones; none where the first is not scored, since no number may stand in for it."""
    scored = tuple(outcome for outcome in outcomes if isinstance(outcome, Risk))
    return scored if isinstance(outcomes[0], Risk) else ()


def shown_risks(said: Answer) -> tuple[Risk, ...]:
    """The numbers that a page shows of an answer."""
    return risks_of(outcomes_of(said)) if said.outcomes and said.error is None else ()


def notes_of(said: Answer, deployed: Deployed, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What a page says beside its outcomes where no card says it."""
    names = {id_: model.card.short_name for id_, model in deployed.models.items()}
    others = outcomes if said.guidance and said.guidance.shows else tuple(said.outcomes.values())
    further = (caution for risk in risks_of(outcomes)[1:] for caution in risk.cautions)
    return tuple(dict.fromkeys((*beside(outcomes[0], others, said.failed, names), *further)))
