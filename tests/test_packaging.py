"""What a stranger installs is whole: pinned by the locks, carried by the wheel, served from a clean environment."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cds", "hooks", "models", "fhir_fixtures")
CARRIED = {".py", ".yaml", ".csv", ".json", ".ndjson", ".html", ".css", ".js", ".svg", ".toml", ".mako", ".md"}
LOCKS = ("requirements.lock", "requirements-dev.lock")
SERVICE = "kidney-failure-risk"


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;]+)", line) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def asked(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    wanted = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in wanted if requirement.name != project["name"]]


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ["postgres"]), (LOCKS[1], ["postgres", "dev"])])
def test_a_lock_pins_what_the_project_asks_for(lock: str, extras: list[str]) -> None:
    pinned = pins(lock)
    loose = [
        str(wanted)
        for wanted in asked(*extras)
        if not wanted.specifier.contains(pinned.get(canonicalize_name(wanted.name), "0"))
    ]
    assert loose == [], f"make lock brings {lock} up to date"


def test_both_locks_agree() -> None:
    everything = pins("requirements-dev.lock")
    assert {
        name: version for name, version in pins("requirements.lock").items() if everything.get(name) != version
    } == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_registry(lock: str) -> None:
    named = re.findall(r"(?im)^.*(?:://|--(?:extra-)?index|--find-links).*$", (ROOT / lock).read_text(encoding="utf-8"))
    assert named == []


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    return next(folder.glob("bedside-*.whl"))


def tree() -> set[str]:
    """The files of the packages that must travel, as paths inside the wheel."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*"))
    return {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.suffix in CARRIED and file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_carries_code_and_data(wheel: Path) -> None:
    carried = set(zipfile.ZipFile(wheel).namelist())
    assert tree() - carried == set()


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    tops = {name.split("/", 1)[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} <= set(PACKAGES)


def test_hooks_and_models_stay_namespace_packages(wheel: Path) -> None:
    assert {"hooks/__init__.py", "models/__init__.py"}.isdisjoint(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the locked dependencies and the wheel, and no work tree."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    python = home / "bin" / "python"
    if uv := shutil.which("uv"):
        run(uv, "venv", "--python", sys.executable, home)
        install: tuple[str | Path, ...] = (uv, "pip", "install", "--python", python)
    else:
        run(sys.executable, "-m", "venv", home)
        install = (python, "-m", "pip", "install", "--disable-pip-version-check")
    run(*install, "--no-deps", "--require-hashes", "--requirement", ROOT / "requirements.lock")
    run(*install, "--no-deps", wheel)
    return home / "bin"


@pytest.fixture(scope="module")
def demo(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The demo of the installed wheel, in an empty folder and with none of our variables set."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("demo")
    ours = ("BEDSIDE_", "PYTHON", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)} | {"HOME": str(folder)}
    command = [str(clean / "bedside"), "serve", "--demo", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False) as client:
            assert becomes_ready(client, server), (folder / "log").read_text(errors="replace")
            yield client
    finally:
        server.terminate()
        server.wait(timeout=30)


def becomes_ready(client: httpx.Client, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if client.get("/health/ready").status_code == httpx.codes.OK:
                return True
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    return False


@pytest.mark.timeout(600)
def test_the_installed_demo_offers_the_kidney_service(demo: httpx.Client) -> None:
    services = demo.get("/cds-services").raise_for_status().json()["services"]
    assert SERVICE in {service["id"] for service in services}


@pytest.mark.timeout(600)
def test_the_installed_demo_page_comes_with_all_it_links(demo: httpx.Client) -> None:
    page = demo.get("/").raise_for_status()
    assert page.url.path == "/demo/"
    links = re.findall(r"""<(?:link|script|img)[^>]+(?:href|src)=["']([^"'#]+)["']""", page.text)
    assert {link: demo.get(urljoin(str(page.url), link)).status_code for link in links} == dict.fromkeys(links, 200)
