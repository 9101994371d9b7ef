# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev demo: two hosts from nothing to data that flows, with a word on what to look at."""

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
import yaml

from . import engine, galaxy, hosts, images, mirror, panels
from .console import Failure, relative, run, say, seconds, step, tail
from .paths import DEV, HOST_FILES, MIRROR, ROOT

INVENTORY = ROOT / "inventories/demo"
# What the collection watches, and where its notifications go.
EXAMPLES = (ROOT / "examples/dating_app/deploy.yml", ROOT / "examples/notifications/deploy.yml")
# Where releases come from and links lead, for whoever runs a playbook on these hosts.
VARIABLES = DEV / "demo.yml"
USER = "monitoring"
PASSWORD = INVENTORY / "secrets/monitoring_auth_password.txt"
GRAFANA_PASSWORD = INVENTORY / "secrets/grafana_admin_password.txt"
HOSTS = {"mon1": "opswatch/host:trixie", "app1": "opswatch/app:bookworm"}
UPSTREAM = "https://github.com"
# The stack's own scrape jobs, most of them called like a component; every other job is one of the services.
COMPONENTS = {
    "alertmanager",
    "alloy",
    "blackbox_exporter",
    "cadvisor",
    "grafana",
    "loki",
    "node_exporter",
    "postgres_exporter",
    "probe",
    "prometheus",
    "promtail",
}


@dataclass(frozen=True)
class Target:
    job: str
    instance: str
    health: str
    error: str = ""


def upstream_answers() -> bool:
    try:
        return requests.head(UPSTREAM, timeout=5).status_code < 500
    except requests.RequestException:
        return False


def choose_releases() -> dict[str, str]:
    """Extra variables for ansible-playbook: none where upstream answers, else a mirror made here."""
    if given := os.environ.get("MONITORING_MIRROR"):
        say(f"releases: from MONITORING_MIRROR, {given}")
        # Of a mirror behind a URL it is not known: the role's own versions have to be there.
        releases = {} if "://" in given else mirror.releases_in(Path(given))
        return {"monitoring_mirror": given, **available_versions(releases)}
    if upstream_answers():
        return {}
    say(f"upstream: {UPSTREAM} does not answer within 5 s, so Debian's builds of the same programs are used instead")
    contents = mirror.ensure()
    say(mirror.describe(contents))
    return {"monitoring_mirror": str(MIRROR), **available_versions(contents.releases)}


def available_versions(releases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The newest of what the mirror has where it lacks the role's own choice: Debian's testing suite moves on."""
    chosen = {}
    for name, versions in releases.items():
        defaults = ROOT / "roles" / name / "defaults/main.yml"
        wanted = yaml.safe_load(defaults.read_text()).get(f"{name}_version") if defaults.exists() else None
        if wanted and versions and wanted not in versions:
            say(f"{name}: {versions[-1]} instead of {wanted}, which the mirror lacks")
            chosen[f"{name}_version"] = versions[-1]
    return chosen


def links(address: str) -> dict[str, str]:
    """Extra variables too: what notifications link to. The names of the containers lead nowhere on this machine."""
    return {
        "prometheus_external_url": f"http://{address}:9090",
        "alertmanager_external_url": f"http://{address}:9093",
        "grafana_root_url": f"http://{address}:3000",
    }


def tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def first_failure(output: str) -> str:
    """What Ansible says of the first failed task; what other hosts did after it only hides that."""
    found = re.search(r"^(?:\[ERROR\]|fatal: ).*?(?=^(?:TASK|PLAY) |\Z)", output, re.MULTILINE | re.DOTALL)
    lines = (found[0] if found else tail(output, 40)).rstrip().splitlines()
    # The cause comes first and the message last; a long one has arguments in between.
    return "\n".join(lines if len(lines) <= 40 else [*lines[:15], "...", *lines[-15:]])


def play(playbook: Path, arguments: Sequence[str]) -> None:
    """Run a playbook quietly; its recap is the result of the step."""
    with step(relative(playbook)) as current:
        output = run(
            [tool("ansible-playbook"), "-i", INVENTORY, playbook, *arguments],
            log=f"demo-{'-'.join(playbook.relative_to(ROOT).with_suffix('').parts)}",
            remedy="mend what the failed task says, then ./dev demo again",
            excerpt=first_failure,
        )
        recap = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+)", output, re.MULTILINE)
        current.result = ", ".join(f"{host} ok={ok} changed={changed}" for host, ok, changed in recap) or "done"


def expected_targets() -> set[tuple[str, str]]:
    """(job, instance) of everything that the inventory asks to scrape: new targets take up to 30 s to show up."""
    command: list[str | Path] = [tool("ansible-inventory"), "-i", INVENTORY, "--list"]
    output = run(command, log="demo-inventory", remedy="mend the inventory")
    inventory = json.loads(output)
    expected = {(job, host) for job in COMPONENTS for host in inventory.get(job, {}).get("hosts", [])}
    for host, variables in inventory["_meta"]["hostvars"].items():
        lists = [entries for name, entries in variables.items() if re.fullmatch("monitoring_services(_.+)?", name)]
        expected |= {(service["name"], host) for entries in lists for service in entries}
    return expected


def read_targets(url: str, password: str) -> list[Target]:
    answer = requests.get(f"{url}/api/v1/targets", params={"state": "active"}, auth=(USER, password), timeout=5)
    answer.raise_for_status()
    targets = [
        Target(found["labels"]["job"], found["labels"]["instance"], found["health"], found["lastError"])
        for found in answer.json()["data"]["activeTargets"]
    ]
    return sorted(targets, key=lambda target: (target.job not in COMPONENTS, target.job, target.instance))


def wait_for_targets(url: str, password: str, limit: float = 90) -> list[Target]:
    """Return once every target is up, or after `limit`: then the table says which is not."""
    end, targets, problem, expected = time.monotonic() + limit, list[Target](), "", expected_targets()
    with step("scrape targets") as current:
        while True:
            try:
                targets, problem = read_targets(url, password), "it has no targets"
            except requests.RequestException as error:
                problem = str(error)
            missing = expected - {(target.job, target.instance) for target in targets}
            up = sum(target.health == "up" for target in targets)
            if (not missing and up == len(targets)) or time.monotonic() > end:
                break
            time.sleep(1)
        if not targets:
            raise Failure(
                f"Prometheus at {url} answers no list of targets: {problem}",
                "look with: docker exec opswatch-mon1 journalctl -u prometheus",
            )
        targets += [Target(job, host, "missing", "Prometheus does not know it") for job, host in sorted(missing)]
        current.result = f"{up} of {len(targets)} up"
    return targets


def ask_panels(address: str, password: str) -> None:
    """Whether every panel of the dashboards has data, or says why it has none. Hosts that are minutes old lack some."""
    url, grafana = f"http://{address}:9090", f"http://{address}:3000"
    with step("dashboards") as current:
        known = panels.Grafana(grafana, ("admin", GRAFANA_PASSWORD.read_text().strip()))
        source = panels.as_people_see(known, panels.Prometheus(url, (USER, password)))
        asked, found = panels.gaps(source, panels.read())
        late = len(panels.wrong(found))
        current.result = (
            f"{asked - len(found)} of {asked} queries have data, {len(found) - late} say why not, {late} not yet"
        )
    if late:
        again = f"--grafana {grafana}" if source is known else url
        file = GRAFANA_PASSWORD if source is known else PASSWORD
        say(
            "  (rates want some minutes; to wait for them, and see which never come: "
            f".venv/bin/python -m tests.testbed.panels {again} --wait --password-file {relative(file)})"
        )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ((cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [("  " + "  ".join(cells)).rstrip() for cells in padded]


def summary(targets: Sequence[Target], addresses: Mapping[str, str]) -> list[str]:
    url = f"http://{addresses['mon1']}:9090"
    services = Counter(target.job for target in targets if target.job not in COMPONENTS)
    # One exporter may answer for many: a line for each would say the same.
    counts = Counter((target.job, target.instance, target.health) for target in targets)
    rows = [("JOB", "INSTANCE", "HEALTH", "")]
    rows += [(*key, f"{count} targets" if count > 1 else "") for key, count in counts.items()]
    lines = ["", "Targets", *table(rows), ""]
    lines += [f"Services: {len(services)} scraped ({', '.join(services)})" if services else "Services: none yet", ""]
    lines += [
        "Open",
        f"  Prometheus     {url}",
        f"  Alertmanager   http://{addresses['mon1']}:9093",
        f"  Grafana        http://{addresses['mon1']}:3000, user admin, password in {relative(GRAFANA_PASSWORD)}",
        f"  user           {USER}",
        f"  password       in {relative(PASSWORD)}",
        f"  notifications  http://{addresses['app1']}:8025 (no password), where mail and Slack messages arrive",
        f"  ask it         curl -u {USER}:$(cat {relative(PASSWORD)}) '{url}/api/v1/query?query=up'",
        "                 (what is used where upstream does not answer has no web pages: Debian's builds, and a",
        "                 stand-in for Grafana; what those for Loki and Alloy leave out: end of docs/logs.md)",
        f"  from afar      ssh -L 9090:{addresses['mon1']}:9090 -L 3000:{addresses['mon1']}:3000 "
        f"-L 8025:{addresses['app1']}:8025 THIS-MACHINE,",
        "                 then http://localhost:9090, :3000 and :8025",
        "Look around",
        *(f"  docker exec -it {hosts.container_name(name)} bash   # {where}" for name, where in addresses.items()),
        "Run a playbook on these hosts, from this folder",
        f"  .venv/bin/ansible-playbook -i {relative(INVENTORY)} playbooks/doctor.yml -e @{relative(VARIABLES)}",
        f"  .venv/bin/ansible-playbook -i {relative(INVENTORY)} site.yml --check --diff -e @{relative(VARIABLES)}",
        "See an alert: two minutes after the cause it is among the notifications",
        "  docker exec opswatch-app1 systemctl stop dating_app@webapp",
        f"  curl http://{addresses['app1']}:8025",
        "  docker exec opswatch-app1 systemctl start dating_app@webapp    # and it is resolved",
        "Again, or away",
        "  ./dev demo: repeats it on the same hosts. ./dev clean: removes everything.",
    ]
    return lines


def main() -> int:
    begun = time.monotonic()
    engine.ensure()
    galaxy.ensure()
    images.ensure(*HOSTS.values())
    releases = choose_releases()
    for name, image in HOSTS.items():
        host = hosts.boot(name, image)
        if HOST_FILES.exists():
            hosts.put_files(host, HOST_FILES)
    addresses = {name: hosts.address(name) for name in HOSTS}
    VARIABLES.write_text(yaml.safe_dump({**releases, **links(addresses["mon1"])}))
    for example in EXAMPLES:
        play(example, [])
    play(ROOT / "site.yml", ["-e", f"@{VARIABLES}"])
    password = PASSWORD.read_text().strip()
    targets = wait_for_targets(f"http://{addresses['mon1']}:9090", password)
    for line in summary(targets, addresses):
        say(line)
    down = [target for target in targets if target.health != "up"]
    if down:
        reasons = "\n".join(f"{target.job} on {target.instance}: {target.error or target.health}" for target in down)
        raise Failure(
            f"{len(down)} of {len(targets)} targets are not up", "look at the service on that host, then again", reasons
        )
    say()
    ask_panels(addresses["mon1"], password)
    say(f"\nready in {seconds(time.monotonic() - begun)}")
    return 0
