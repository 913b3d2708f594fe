"""Our own signing keys: kept privately, published publicly, and rotated without a refused request."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from joserfc import jwt
from joserfc.jwk import KeySet
from typer.testing import CliRunner

from cds.cli.keys import own_keys as needed
from cds.cli.main import app
from cds.errors import SiteError
from cds.settings import read_settings
from cds.trust import own_keys
from cds.trust.own_keys import ALGORITHMS, FILE_NAME, OwnKeys

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@pytest.fixture(autouse=True)
def _small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller key saves a second each time."""
    monkeypatch.setattr(own_keys, "RSA_BITS", 2048)


def published(keys: OwnKeys) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(keys.public())["keys"]
    return found


def signs(keys: OwnKeys) -> set[str]:
    """The kids of what verifies, with what is published, when both algorithms sign."""
    verified = KeySet.import_key_set(json.loads(keys.public()))
    kids = set()
    for algorithm in ALGORITHMS:
        key = keys.signing(algorithm)
        token = jwt.encode({"alg": algorithm, "kid": key.kid}, {"iss": "us"}, key.key, algorithms=[algorithm])
        kids.add(jwt.decode(token, verified, algorithms=[algorithm]).header["kid"])
    return kids


@pytest.mark.proves(
    "S13", "two keys of each algorithm published from the start, three while rotating; 0 private members"
)
def test_the_next_key_is_published_before_it_signs_and_the_last_one_after(tmp_path: Path) -> None:
    keys = OwnKeys.create(tmp_path / "keys.json")
    seen: list[set[str]] = []
    before: set[str] = set()
    for turn in range(3):
        now = {one["kid"] for one in published(keys)}
        assert len(now) == (4 if turn == 0 else 6)
        for algorithm in ALGORITHMS:
            assert sum(one["alg"] == algorithm for one in published(keys)) >= 2
        signing = signs(keys)
        if seen:
            assert signing <= seen[-1], "who cached the last set can verify what is signed now"
            assert signing.isdisjoint(before)
        assert not any(PRIVATE & set(one) for one in published(keys))
        assert all(one["use"] == "sig" for one in published(keys))
        before = signing
        seen.append(now)
        keys.rotate()
        assert before <= {one["kid"] for one in published(keys)}, "what was signed a moment ago still verifies"


def test_another_process_sees_the_rotation(tmp_path: Path) -> None:
    keys = OwnKeys.create(tmp_path / "keys.json")
    other = OwnKeys(tmp_path / "keys.json")
    keys.rotate()
    assert other.public() == keys.public()
    assert other.signing("ES384").kid == keys.signing("ES384").kid


def test_the_file_is_private_and_stays_as_it_is_when_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = OwnKeys.create(path).public()
    assert path.stat().st_mode & 0o777 == 0o600
    assert OwnKeys.create(path).public() == first
    assert list(tmp_path.iterdir()) == [path]


def test_keys_that_others_can_read_stop_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    OwnKeys.create(path)
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(SiteError, match="others can read"):
            OwnKeys(path)


@pytest.mark.parametrize("text", ["", "{}", '{"keys":[]}', '{"keys":[{"role":"current","alg":"ES384","jwk":{}}]}', "["])
def test_a_broken_file_stops_the_start_and_tells_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SiteError, match=r"keys\.json"):
        OwnKeys(path)


def test_a_file_that_breaks_while_serving_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = OwnKeys.create(path)
    before = keys.public()
    path.write_text("{")
    os.utime(path)
    with structlog.testing.capture_logs() as said:
        assert keys.public() == before
        assert keys.signing("ES384").algorithm == "ES384"
    assert [one["log_level"] for one in said] == ["warning"], "once, not with every sign-in"
    assert str(path) in said[0]["why"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another account's")
def test_a_rotation_by_root_leaves_the_keys_with_the_servers_account(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = OwnKeys.create(path)
    os.chown(path, 12345, 23456)
    keys.rotate()
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 23456, 0o600)
    path.unlink()
    assert signs(keys)


def test_a_key_is_not_printed(tmp_path: Path) -> None:
    keys = OwnKeys.create(tmp_path / "keys.json")
    key = keys.signing("ES384")
    secret = str(key.key.as_dict(private=True)["d"])
    assert secret not in repr(key) + repr(own_keys._read(keys.path))


def test_the_command_makes_rotates_and_shows_public_keys_only(tmp_path: Path) -> None:
    run = CliRunner().invoke
    missing = run(app, ["keys", "show", "--site", str(tmp_path)])
    assert missing.exit_code == 2
    assert run(app, ["keys", "rotate", "--site", str(tmp_path)]).exit_code == 0
    first = json.loads(run(app, ["keys", "show", "--site", str(tmp_path)]).stdout)["keys"]
    assert run(app, ["keys", "rotate", "--site", str(tmp_path)]).exit_code == 0
    second = run(app, ["keys", "show", "--site", str(tmp_path)]).stdout
    assert {one["kid"] for one in first} <= {one["kid"] for one in json.loads(second)["keys"]}
    private = json.loads((tmp_path / FILE_NAME).read_text())["keys"]
    assert all(one["jwk"]["d"] not in second for one in private)
    assert not any(PRIVATE & set(one) for one in json.loads(second)["keys"])


def test_a_site_whose_app_signs_does_not_start_without_keys(tmp_path: Path) -> None:
    smart = {"client_id": "bedside"}
    signing = read_settings(clients=({"tenant": "north", "smart": smart},))
    public = read_settings(clients=({"tenant": "north", "smart": smart | {"auth": "public"}},))
    assert needed(public, tmp_path) is None
    with pytest.raises(SiteError, match="bedside keys rotate"):
        needed(signing, tmp_path)
    made = OwnKeys.create(tmp_path / FILE_NAME)
    for settings in (signing, public):
        found = needed(settings, tmp_path)
        assert found is not None
        assert found.public() == made.public()
    elsewhere = signing.model_copy(update={"keys": tmp_path / "other.json"})
    with pytest.raises(SiteError, match="other"):
        needed(elsewhere, tmp_path)
