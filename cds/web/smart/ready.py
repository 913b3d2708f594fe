"""Refuses a site whose SMART apps could not sign in: before it is served first, and before a changed one is taken."""

from cds.errors import SiteError
from cds.site import Site
from cds.trust.own_keys import OwnKeys
from cds.trust.urls import safe_url


def check_smart(site: Site, keys: OwnKeys | None) -> None:
    """Raises SiteError when users would come back to us without TLS, or when an app signs and we have no keys."""
    apps = [client for client in site.clients if client.smart is not None and not client.revoked]
    public_url = site.settings.public_url
    if apps and public_url is not None:
        try:
            safe_url(public_url)
        except ValueError as fault:
            raise SiteError(f"public_url: a sign-in comes back to it; {fault}") from None
    signing = [one.tenant for one in apps if one.smart is not None and one.smart.auth == "private_key_jwt"]
    if signing and keys is None:
        raise SiteError(
            f"{signing[0]}: its SMART app signs with private_key_jwt; `bedside keys rotate` makes the keys, and a "
            "server that was started without any has to be started again"
        )
