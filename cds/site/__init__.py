"""Finds a site's models and services, checks them once, and freezes what will be served, to whom."""

from cds.site.loading import load_site
from cds.site.recipe import SiteRecipe, recipe
from cds.site.site import LOCAL, Site, Tenant

__all__ = ["LOCAL", "Site", "SiteRecipe", "Tenant", "load_site", "recipe"]
