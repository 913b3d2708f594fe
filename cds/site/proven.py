"""Tries a site's models on their own reference results before any patient meets them."""

from cds.errors import SiteError
from cds.risk.conformance import reference_rows
from cds.site.site import Site


def proven(site: Site) -> Site:
    """The site, once each model that is served has given its reference results again. Raises SiteError."""
    served = (deployed for tenant in site.served() for deployed in tenant.services.values())
    variants = {(model.id, repr(model.settings)): model for deployed in served for model in deployed.models.values()}
    for model in variants.values():
        if complaints := reference_rows(model):
            raise SiteError(f"model {model.id} does not give its own reference results: {complaints[0]}")
    return site
