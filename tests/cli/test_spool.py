"""What becomes of answers during an outage is what site.toml says, and nothing that contradicts itself starts."""

from pathlib import Path

import pytest

from cds.cli.common import open_ledger, spool_folder
from cds.errors import SiteError
from cds.ledger import Keyring, Ledger
from cds.settings import read_settings
from tests.cli.command import bedside


@pytest.mark.proves("R53", "on_audit_failure and spool: 5 settings that agree, 1 that contradicts itself stops")
def test_r53_a_folder_is_used_unless_refusing_is_asked_for(tmp_path: Path) -> None:
    assert spool_folder(read_settings()) is None
    assert spool_folder(read_settings(on_audit_failure="refuse")) is None
    assert spool_folder(read_settings(spool=tmp_path)) == tmp_path
    assert spool_folder(read_settings(spool=tmp_path, on_audit_failure="spool")) == tmp_path
    assert spool_folder(read_settings(spool=tmp_path, on_audit_failure="refuse")) is None
    with pytest.raises(SiteError, match="needs a folder"):
        spool_folder(read_settings(on_audit_failure="spool"))


def test_a_server_without_a_folder_for_its_spool_does_not_start(tmp_path: Path) -> None:
    done = bedside("serve", "--demo", BEDSIDE_ON_AUDIT_FAILURE="spool", XDG_DATA_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('on_audit_failure = "spool" needs a folder')


def test_only_a_server_has_a_spool(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    url, keyring = f"sqlite:///{tmp_path / 'l.db'}", Keyring.generate()
    settings = read_settings(spool=folder, ledger=url, ledger_key=keyring.text())
    Ledger.open(url, keyring, create=True).close()
    open_ledger(settings).close()
    assert not folder.exists()
    with open_ledger(settings, serving=True):
        assert len(list(folder.iterdir())) == 1
