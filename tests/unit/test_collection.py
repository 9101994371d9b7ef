# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a whole: what is packed, that it finds itself, and that what is written twice says the same."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tarfile
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in ROOT.glob("roles/*") if path.is_dir())
SHARED = "monitoring"  # has no tasks: what the others depend on

# The root of the archive, whole: what is new in the checkout is either added here or to build_ignore.
ARCHIVE_ROOT = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
}


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[..., str]:
    """Runs one of Ansible's commands as a user without any settings would; fails the test if it fails."""
    home = tmp_path_factory.mktemp("home")

    def run(cwd: Path, command: str, *arguments: str | Path, **extra: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(HOME=str(home), ANSIBLE_HOME=str(home / "ansible"), NO_COLOR="1", **extra)
        done = subprocess.run(
            [Path(sys.executable).parent / command, *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


# --- the archive ---


@pytest.fixture(scope="module")
def archive(ansible: t.Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("build")
    ansible(ROOT, "ansible-galaxy", "collection", "build", "--output-path", output)
    (built,) = output.iterdir()
    return built


def test_archive_has_what_belongs_in_it_and_nothing_else(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    assert {member.name.split("/")[0] for member in members} == ARCHIVE_ROOT
    parts = {part for member in members for part in Path(member.name).parts}
    assert not {part for part in parts if part.startswith(".") or part in ("__pycache__", "secrets", "tests")}
    assert not [member.name for member in members if not (member.isfile() or member.isdir())], "links"


def test_archive_installs_and_finds_its_playbook(archive: Path, ansible: t.Callable[..., str], tmp_path: Path) -> None:
    ansible(tmp_path, "ansible-galaxy", "collection", "install", archive, "-p", tmp_path, "--no-deps", "--offline")
    output = ansible(
        tmp_path,
        "ansible-playbook",
        "--inventory=localhost,",
        "--syntax-check",
        "opswatch.monitoring.site",
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path),
    )
    assert f"playbook: {tmp_path}/ansible_collections/opswatch/monitoring/playbooks/site.yml" in output


# --- the checkout ---


def test_checkout_finds_itself(ansible: t.Callable[..., str]) -> None:
    output = ansible(ROOT, "ansible-playbook", "-i", "inventories/local", "--syntax-check", "site.yml")
    assert "playbook: site.yml" in output


def test_checkout_finds_itself_without_its_settings(ansible: t.Callable[..., str], tmp_path: Path) -> None:
    """Ansible ignores ansible.cfg where everyone may write to the directory, as in many a mounted folder."""
    empty = tmp_path / "ansible.cfg"
    empty.touch()
    arguments = ("-i", "inventories/local", "--syntax-check", "site.yml")
    assert "playbook: site.yml" in ansible(ROOT, "ansible-playbook", *arguments, ANSIBLE_CONFIG=str(empty))


@pytest.mark.parametrize("path", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_requirements_are_pinned(path: str) -> None:
    exact = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\d[\w.+!]*\s*(;.*)?")
    lines = [line.split(" #")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    loose = [line for line in lines if line and not line.startswith(("#", "-r ")) and not exact.fullmatch(line)]
    assert loose == []


# --- links between pages ---

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")})


def headings(page: Path) -> set[str]:
    """The anchors of a page, made as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    found = re.findall(r"\]\((?!\w+://)([^)\s#]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8"))
    lost = []
    for path, anchor in found:
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in headings(there)):
            lost.append(f"{path}#{anchor}")
    assert lost == []


# --- what is written twice ---


def read_specs(role: str) -> dict[str, t.Any]:
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["argument_specs"]


def read_defaults(role: str) -> dict[str, t.Any]:
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def incomplete(options: dict[str, t.Any], prefix: str = "") -> t.Iterator[str]:
    """Options of a role's spec without a type or a description, at any depth."""
    for name, option in options.items():
        missing = [key for key in ("type", "description") if not option.get(key)]
        if option.get("type") == "list" and "elements" not in option:
            missing.append("elements")
        if missing:
            yield f"{prefix}{name} lacks {', '.join(missing)}"
        yield from incomplete(option.get("options", {}), f"{prefix}{name}.")


@pytest.mark.parametrize("role", ROLES)
def test_role_spec_is_complete(role: str) -> None:
    specs = read_specs(role)
    assert list(specs) == ["shared" if role == SHARED else "main"]
    for entry_point, spec in specs.items():
        assert spec.get("short_description"), entry_point
        assert (ROOT / "roles" / role / "tasks" / f"{entry_point}.yml").exists() == (role != SHARED)
        assert list(incomplete(spec.get("options", {}))) == []


@pytest.mark.parametrize("role", ROLES)
def test_role_spec_has_the_defaults(role: str) -> None:
    """Ansible takes defaults/main.yml and only documents those of the spec, so nothing else keeps them equal."""
    defaults = read_defaults(role)
    options = [option for spec in read_specs(role).values() for option in spec.get("options", {}).items()]
    assert sorted(set(defaults) - {name for name, _option in options}) == [], "not in the spec"
    for name, option in options:
        assert ("default" in option) == (name in defaults), f"{name}: a default on one side only"
        assert option.get("default") == defaults.get(name), name
        assert not (option.get("required") and "default" in option), f"{name}: required, with a default"


def normal(options: dict[str, t.Any], nested: str) -> dict[str, t.Any]:
    """Options of a module, from either side, with what is left out filled in."""
    return {
        name: {
            "type": option.get("type", "str"),
            "default": option.get("default"),
            "required": option.get("required", False),
            "choices": option.get("choices"),
            "elements": option.get("elements"),
            "aliases": option.get("aliases", []),
            "options": normal(option.get(nested) or {}, nested),
        }
        for name, option in options.items()
    }


def test_component_is_documented_as_it_is_checked() -> None:
    """C(ansible-test) compares modules; this one is only the documentation of an action plugin."""
    plugins = "ansible_collections.opswatch.monitoring.plugins"
    documentation = yaml.safe_load(importlib.import_module(f"{plugins}.modules.component").DOCUMENTATION)
    spec = importlib.import_module(f"{plugins}.plugin_utils.component_spec").ARGUMENT_SPEC
    assert normal(documentation["options"], "suboptions") == normal(spec, "options")


def test_grafana_dashboards_is_documented_as_it_is_checked() -> None:
    plugins = "ansible_collections.opswatch.monitoring.plugins"
    fragment = importlib.import_module(f"{plugins}.doc_fragments.grafana").ModuleDocFragment.DOCUMENTATION
    documentation = yaml.safe_load(importlib.import_module(f"{plugins}.modules.grafana_dashboards").DOCUMENTATION)
    spec = importlib.import_module(f"{plugins}.plugin_utils.grafana_spec").ARGUMENT_SPEC
    documented = {**yaml.safe_load(fragment)["options"], **documentation["options"]}
    assert normal(documented, "suboptions") == normal(spec, "options")


def test_action_group_has_the_modules_for_grafana() -> None:
    """All but the half that nobody calls."""
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("grafana_*.py")} - {"grafana_dashboards_apply"}
    assert yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["grafana"] == sorted(modules)
