"""When an order is drafted that may harm a weak kidney: a warning on that very draft."""

from cds import Guidance, HookCall, hook
from hooks import _nephrotoxic as words


@hook(
    "order-select",
    "order-sign",
    id="nephrotoxic-order",
    title="Nephrotoxic order",
    description=(
        "A warning when an NSAID, iodinated contrast or an aminoglycoside is drafted with an eGFR below 30, acute "
        "kidney injury or a kidney transplant, and an NSAID in pregnancy. Its code list is not complete: off until "
        "a site has checked it"
    ),
    models=("kdigo-aki",),
    by_name_only=True,
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer. Drafts are recognised by a closed list: NSAIDs "
        "(without aspirin) and injected aminoglycosides as RxNorm products and ATC; contrast by ATC V08A, and by ten "
        "LOINC and SNOMED codes and eight CPT codes of imaging, and UNVERIFIED codes among them. A medicationReference "
        "is read when it is contained or in draftOrders. A pharmacy must check the list before the service is on."
    ),
)
def nephrotoxic_order(call: HookCall) -> Guidance:
    orders = words.harmful(call.drafts)
    if not orders:
        return Guidance(reason="no-such-order" if all(draft.coded for draft in call.drafts) else "order-not-readable")
    return words.guidance(call, orders)
