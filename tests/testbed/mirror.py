# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror in upstream's layout, made of Debian's packages, for where upstream is out of reach.

The programs are the real ones. Three Debian suites give three generations of each, so an upgrade in a test is a real
upgrade. For some of what Debian does not have there are stand-ins (standins.py); the rest is left out and named.
"""

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from . import debian, standins
from .console import Failure, relative, run, step
from .paths import DEV, HOST_FILES, MIRROR, ROOT

SUITES = ("bookworm", "trixie", "forky")
NEWEST = SUITES[-1]
LICENSE = Path("/usr/share/common-licenses/Apache-2.0")
# Components that no Debian suite has.
UNAVAILABLE = ("grafana", "loki", "promtail", "alloy", "cadvisor")


@dataclass(frozen=True)
class Program:
    owner: str
    name: str
    # Debian package -> {its binary: upstream's name for it}. A package that a suite lacks is part of another there.
    packages: dict[str, dict[str, str]]
    # What Debian's build reads from the file system and upstream's carries inside.
    host_files: tuple[str, ...] = ()
    # Architectures beside amd64, of the newest suite only.
    more_architectures: tuple[str, ...] = ()


PROGRAMS = (
    Program(
        "prometheus",
        "prometheus",
        # bookworm has promtool in the package prometheus.
        {"prometheus": {"prometheus": "prometheus", "promtool": "promtool"}, "promtool": {"promtool": "promtool"}},
        more_architectures=("arm64",),
    ),
    Program(
        "prometheus",
        "node_exporter",
        {"prometheus-node-exporter": {"prometheus-node-exporter": "node_exporter"}},
        more_architectures=("arm64",),
    ),
    Program(
        "prometheus",
        "alertmanager",
        {"prometheus-alertmanager": {"prometheus-alertmanager": "alertmanager", "amtool": "amtool"}},
        host_files=("usr/share/prometheus/alertmanager",),
    ),
    Program(
        "prometheus-community",
        "postgres_exporter",
        {"prometheus-postgres-exporter": {"prometheus-postgres-exporter": "postgres_exporter"}},
    ),
    Program(
        "prometheus",
        "blackbox_exporter",
        {"prometheus-blackbox-exporter": {"prometheus-blackbox-exporter": "blackbox_exporter"}},
    ),
)


@dataclass
class Contents:
    """What the mirror holds; kept beside it, so that a complete one costs no request."""

    definition: str
    releases: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Apt:
    """An apt root of its own: other suites and architectures without touching the machine's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        lines = []
        for suite in SUITES:
            # The Release file of a suite in the making goes out of date quickly where a mirror is behind.
            options = "check-valid-until=no " if suite == NEWEST else ""
            options += f"arch=amd64{',arm64' if suite == NEWEST else ''}"
            lines += debian.source_lines(suite, updates=False, options=options)
        (root / "sources.list").write_text("\n".join(lines) + "\n")
        settings = {
            "Dir::Etc::sourcelist": root / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": root,
            "Dir::State::lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root / "cache",
            # Container images switch apt's parsed cache off, which makes every call parse all lists again.
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "APT::Architecture": "amd64",
            "APT::Architectures::": "arm64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        }
        self.options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def update(self) -> None:
        remedy = "check the network; the machine's own Debian archive must hold " + ", ".join(SUITES)
        run(["apt-get", *self.options, "update"], log="mirror-apt-update", remedy=remedy, env=debian.c_locale())

    def versions(self, packages: list[str]) -> dict[tuple[str, str], str]:
        """(suite, package) -> Debian version."""
        command = ["apt-cache", *self.options, "madison", *packages]
        output = subprocess.run(command, capture_output=True, text=True, check=False, env=debian.c_locale()).stdout
        found: dict[tuple[str, str], str] = {}
        for package, version, source in re.findall(r"^ *(\S+) \| +(\S+) \| (.*) Packages$", output, re.MULTILINE):
            for suite in SUITES:
                if f" {suite}/main " in f"{source} ":
                    found[suite, package] = version
        return found

    def download(self, package: str, architecture: str, version: str, target: Path) -> Path:
        target.mkdir(parents=True, exist_ok=True)
        run(
            ["apt-get", *self.options, "download", f"{package}:{architecture}={version}"],
            log="mirror-download",
            remedy="check the network and the free space, then run the same command again",
            cwd=target,
            env=debian.c_locale(),
        )
        (deb,) = target.glob(f"{package}_*_{architecture}.deb")
        return deb


def _definition() -> str:
    data = json.dumps([SUITES, UNAVAILABLE, [asdict(program) for program in PROGRAMS]], sort_keys=True)
    return hashlib.sha256(data.encode()).hexdigest()


def _upstream_version(debian_version: str) -> str:
    match = re.match(r"(?:\d+:)?(\d+\.\d+\.\d+)", debian_version)
    if not match:
        raise Failure(f"cannot read an upstream version from {debian_version}", "teach _upstream_version in mirror.py")
    return match[1]


def _archive(path: Path, folder: str, files: dict[str, Path]) -> None:
    """A .tar.gz that comes out the same from the same files. Speed matters here, size does not: it is read locally."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        directory = tarfile.TarInfo(folder)
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
        for name, source in sorted(files.items()):
            data = source.read_bytes()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(data), 0o644 if name == "LICENSE" else 0o755
            tar.addfile(member, io.BytesIO(data))
    partial.rename(path)


def _check_version(binary: Path, version: str) -> None:
    """Ask the program itself: the path promises a version, and readiness checks will compare it."""
    result = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    if f"version {version}" not in output:
        raise Failure(f"{binary.name} from Debian does not say it is version {version}", "see mirror.py", output)


def _repack(apt: Apt, program: Program, architecture: str, wanted: dict[str, str], release: Path, version: str) -> None:
    with tempfile.TemporaryDirectory(dir=DEV) as name:
        scratch = Path(name)
        files = {"LICENSE": LICENSE}
        for package, debian_version in wanted.items():
            deb = apt.download(package, architecture, debian_version, scratch / "deb")
            run(["dpkg-deb", "-x", deb, scratch / "root"], log="mirror-unpack", remedy="is the disk full?")
            for binary, upstream in program.packages[package].items():
                source = scratch / "root/usr/bin" / binary
                if source.exists():
                    files[upstream] = source
        for upstream in {name for names in program.packages.values() for name in names.values()}:
            if upstream not in files:
                raise Failure(f"{', '.join(wanted)} {version} hold no {upstream}", "see PROGRAMS in mirror.py")
        if architecture == "amd64":
            _check_version(files[program.name], version)
            for folder in program.host_files:
                shutil.copytree(scratch / "root" / folder, HOST_FILES / folder, dirs_exist_ok=True)
        full_name = f"{program.name}-{version}.linux-{architecture}"
        _archive(release / f"{full_name}.tar.gz", full_name, files)


def _checksums(release: Path) -> None:
    lines = []
    for archive in sorted(release.glob("*.tar.gz")):
        with archive.open("rb") as data:
            lines.append(f"{hashlib.file_digest(data, 'sha256').hexdigest()}  {archive.name}\n")
    (release / "sha256sums.txt").write_text("".join(lines))


def _build(contents: Contents) -> None:
    apt = Apt(DEV / "apt")
    apt.update()
    versions = apt.versions([package for program in PROGRAMS for package in program.packages])
    for program in PROGRAMS:
        contents.releases[program.name] = []
        for suite in SUITES:
            wanted = {name: versions[suite, name] for name in program.packages if (suite, name) in versions}
            if not wanted:
                contents.missing.append(f"{program.name} of {suite}")
                continue
            version = _upstream_version(next(iter(wanted.values())))
            release = MIRROR / program.owner / program.name / "releases/download" / f"v{version}"
            for architecture in ("amd64", *(program.more_architectures if suite == NEWEST else ())):
                archive = release / f"{program.name}-{version}.linux-{architecture}.tar.gz"
                if not archive.exists():
                    _repack(apt, program, architecture, wanted, release, version)
                contents.files.append(str(archive.relative_to(MIRROR)))
            _checksums(release)
            contents.files.append(str((release / "sha256sums.txt").relative_to(MIRROR)))
            contents.releases[program.name].append(version)
    # Package lists are large and of no further use.
    shutil.rmtree(apt.root)


def ensure() -> Contents:
    """Build the mirror unless it is there and whole."""
    path = MIRROR.with_suffix(".json")
    if path.exists():
        known = Contents(**json.loads(path.read_text()))
        whole = all((MIRROR / name).exists() for name in known.files)
        if whole and known.definition == _definition():
            known.releases.update(standins.build(MIRROR))
            return known
    contents = Contents(_definition(), missing=list(UNAVAILABLE))
    MIRROR.mkdir(parents=True, exist_ok=True)
    with step(f"mirror of Debian's packages in {relative(MIRROR)}") as current:
        _build(contents)
        path.write_text(json.dumps(asdict(contents), indent=2) + "\n")
        current.result = f"{sum(map(len, contents.releases.values()))} releases"
    contents.releases.update(standins.build(MIRROR))
    return contents


def releases_in(folder: Path) -> dict[str, list[str]]:
    """Which versions of each component a folder in upstream's layout holds, the oldest first."""
    found = {}
    for path in ROOT.glob("roles/*/vars/main.yml"):
        name = path.parts[-3]
        if release := yaml.safe_load(path.read_text()).get(f"__{name}_release"):
            where = release["path"].format(version="*", arch="amd64")
            form = re.compile(re.escape(where).replace(r"\*", r"(\d+(?:\.\d+)*)"))
            matches = [form.fullmatch(one.relative_to(folder).as_posix()) for one in folder.glob(where)]
            versions = {match[1] for match in matches if match}
            found[name] = sorted(versions, key=lambda version: [int(part) for part in version.split(".")])
    return found


def describe(contents: Contents) -> str:
    def listed(releases: dict[str, list[str]]) -> str:
        return ", ".join(f"{name} {' '.join(versions)}" for name, versions in releases.items())

    replaced = {name: versions for name, versions in contents.releases.items() if name in standins.STAND_INS}
    real = {name: versions for name, versions in contents.releases.items() if name not in replaced}
    left_out = ", ".join(name for name in contents.missing if name not in replaced)
    said = f"mirror: {listed(real)}\nstand-ins, not the real programs: {listed(replaced)}"
    return f"{said}\nleft out, as Debian does not have them: {left_out}" if left_out else said
