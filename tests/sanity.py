# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs C(ansible-test sanity) over the collection: C(python -m tests.sanity [argument of ansible-test sanity ...]).

Three things stand in the way of calling it directly, and this is all that the script does about them: it wants a
certain path (and asks git for the files), it downloads its pip, and it hides pip's settings in the environment from
that pip. Everything that it keeps is under C(.dev/sanity).
"""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_test._internal.python_requirements import get_venv_packages

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".dev" / "sanity"
HOME = WORK / "home"
COPY = WORK / "ansible_collections" / "opswatch" / "monitoring"

# What an installed collection has, and the fragments of the change log.
PARTS = ("CHANGELOG.md", "README.md", "changelogs", "galaxy.yml", "meta", "playbooks", "plugins", "roles")

# ansible-test runs this in place of get-pip.py: the pip that Python carries fetches the asked one from where this
# machine takes its packages. ensurepip in a process of its own, as it turns pip's settings off for the rest of one.
GET_PIP = """\
import runpy
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL, check=True)
unwanted = ("--no-setuptools", "--no-wheel")
sys.argv[1:] = ["install"] + [argument for argument in sys.argv[1:] if argument not in unwanted]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def copy_collection() -> None:
    """A fresh copy at the path that ansible-test asks for; what it built in tests/output stays."""
    for old in (COPY / part for part in PARTS):
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    COPY.mkdir(parents=True, exist_ok=True)
    for new in (ROOT / part for part in PARTS):
        if new.is_dir():
            shutil.copytree(new, COPY / new.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif new.exists():
            shutil.copy2(new, COPY / new.name)


def write_get_pip() -> None:
    python: t.Any = type("Python", (), {"version": "{}.{}".format(*sys.version_info)})
    version = get_venv_packages(python)["pip"].replace(".", "_")
    target = HOME / ".ansible" / "test" / "cache" / f"get_pip_{version}.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(GET_PIP, encoding="utf-8")


def write_pip_conf() -> Path:
    """The settings of this user's pip, environment included, as the one file that ansible-test's pip reads.

    Readable by the owner alone and gone after the run: an index address may hold a password.
    """
    conf = configparser.RawConfigParser()
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    # Lines like global.timeout='60' or :env:.timeout='60'; the environment is stronger, so it comes last.
    for line in sorted(listing.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _separator, value = line.partition("=")
        section, _separator, option = key.partition(".")
        section = "global" if section == ":env:" else section
        if not conf.has_section(section):
            conf.add_section(section)
        conf.set(section, option, ast.literal_eval(value))
    if not conf.has_section("global"):
        conf.add_section("global")
    conf.set("global", "quiet", "1")
    target = HOME / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as stream:
        conf.write(stream)
    return target


def main(arguments: list[str]) -> int:
    copy_collection()
    write_get_pip()
    pip_conf = write_pip_conf()
    scripts = Path(sys.executable).parent
    environment = dict(
        os.environ,
        HOME=str(HOME),
        PATH=f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # Given the root, ansible-test walks it; else it would look for git above it, and find all of .dev ignored.
        ANSIBLE_TEST_CONTENT_ROOT=str(COPY),
    )
    version = "{}.{}".format(*sys.version_info)
    command = [str(scripts / "ansible-test"), "sanity", "--venv", "--python", version, "--color", "no", *arguments]
    try:
        return subprocess.run(command, cwd=COPY, env=environment, check=False).returncode
    finally:
        pip_conf.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
