"""Writing signs in with SMART Backend Services, for no more rights than it uses."""

import json
from pathlib import Path

import pytest

from cds.trust.own_keys import OwnKeys
from tests.bulk.runs import assessments, charts, run_folder
from tests.cli.command import bedside
from tests.ehr.sekmet import sekmet


@pytest.mark.proves("B28", "a server with SMART Backend Services: signed in by key, with scopes that it enforces")
@pytest.mark.parametrize("roads", [(), ("--no-provenance", "--no-check-patients")], ids=["all", "results-only"])
def test_a_run_is_written_with_a_token_of_backend_services(
    tmp_path: Path, keys: OwnKeys, roads: tuple[str, ...]
) -> None:
    (tmp_path / "data").mkdir()
    folder = run_folder(tmp_path / "run", assessments())
    known = json.loads(keys.public())["keys"]
    with sekmet(tmp_path / "data", "tests.bulk.stated:app_factory", keys=known, token_seconds=3) as server:
        server.load(resource for chart in charts().values() for resource in chart)
        command = ("write", str(folder), "--to", server.fhir_base, "--json", *roads)
        done = bedside(*command, "--client-id", "bedside", "--keys", str(keys.path))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["created"] == len(assessments())
        refused = bedside(*command, "--client-id", "nobody", "--keys", str(keys.path))
        assert (refused.returncode, "token endpoint answered" in refused.stderr) == (1, True)
        unsaid = bedside(*command)
        assert (unsaid.returncode, "--no-auth" in unsaid.stderr) == (2, True)
