"""`bedside keys`: the keys with which we sign to an EHR's authorization server."""

from pathlib import Path

import typer

from cds.cli.common import SiteOption, err, out, told
from cds.errors import SiteError
from cds.settings import Settings, read_settings
from cds.trust.own_keys import FILE_NAME, OwnKeys

app = typer.Typer(help="Our signing keys, for SMART, exports and write-back.", no_args_is_help=True)


@app.command()
def show(site: SiteOption = None) -> None:
    """Print the public keys, as /.well-known/jwks.json serves them, for an EHR that wants them by hand."""
    with told():
        found = OwnKeys(keys_path(read_settings(site), site))
    out.print(found.public().decode())


@app.command()
def rotate(site: SiteOption = None) -> None:
    """Let the next key sign and make a new one to follow; the first time, make the keys."""
    with told():
        path = keys_path(read_settings(site), site)
        if path.exists():
            OwnKeys(path).rotate()
            err.print("The next keys sign from now on. Rotate again only after a day: EHRs keep what they have read.")
        else:
            OwnKeys.create(path)
            err.print(f"{path}: new keys. Keep them private; every server of the site needs the same file.")


def keys_path(settings: Settings, site: Path | None) -> Path:
    """Where the keys are kept: where the site says, else beside its site.toml."""
    return settings.keys if settings.keys is not None else (site or Path()) / FILE_NAME


def own_keys(settings: Settings, site: Path | None, *, backend: bool = False) -> OwnKeys | None:
    """The keys, or None when no client's SMART app signs with any. Raises SiteError when they are needed and absent.

    `backend`: they are needed by a client's `backend` too. Only exports and write-back sign with that, so no server
    that answers hooks stops for want of it.
    """
    path = keys_path(settings, site)
    if path.exists():
        return OwnKeys(path)
    smart = [table.get("smart") for table in settings.clients]
    if any(isinstance(one, dict) and one.get("auth", "private_key_jwt") == "private_key_jwt" for one in smart):
        raise SiteError(f"{path}: a SMART app signs with private_key_jwt; `bedside keys rotate` makes its keys")
    if backend and any(table.get("backend") and not table.get("revoked") for table in settings.clients):
        raise SiteError(f"{path}: exports and write-back sign in with our keys; `bedside keys rotate` makes them")
    return None
