"""What a client may set per call, in the way that the Da Vinci CRD guide gives services for it."""

from typing import Any

from cds.cdshooks.service import ServiceSettings

OFFERED = "davinci-crd.configuration-options"
REQUESTED = "davinci-crd.configuration"
OPTIONS = (
    {
        "code": "show-low-risk",
        "type": "boolean",
        "name": "Show low risk",
        "description": "Show a card also when the risk is below every threshold",
    },
)


def configured(settings: ServiceSettings, extension: dict[str, Any]) -> ServiceSettings:
    """The service's settings with what the request asks for; unknown options and values of another type are ignored."""
    wanted = extension.get(REQUESTED)
    if not isinstance(wanted, dict) or not isinstance(wanted.get("show-low-risk"), bool):
        return settings
    return settings.model_copy(update={"show_low_risk": wanted["show-low-risk"]})
