# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of every kind, asked by the hardened exporter of one host, of real servers on another, through Prometheus."""

from __future__ import annotations

import re
import ssl

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import wait_for

SERVER = "opswatch-debian13"
PROBED = "opswatch-debian12"
PORT = 9115
NOT_PROBED = 8079  # nobody listens there
CONCERNED = "blackbox_exporter,prometheus"  # who has to do with probes

# Answers every question with one address.
NAME_SERVER = r"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    query, who = server.recvfrom(512)
    question = query[12 : query.index(b"\0", 12) + 5]
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\x09\x08\x07"
    server.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + answer, who)
"""

# As Traefik tells it. The name ends in .txt, for which Python's server says that it is text: else it is not scraped.
TRAEFIK = 'traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop@docker"} 7\n'

SERVERS = {
    "probed-http": "python3 -m http.server 8080",
    "probed-tls": "openssl s_server -accept 8443 -cert cert.pem -key key.pem -www",
    "probed-dns": "python3 dns.py",
}


def name_module(expected: str) -> dict[str, object]:
    answers = {"fail_if_none_matches_regexp": [f"\t{expected}$"]}
    return {
        "prober": "dns",
        "timeout": "2s",
        "dns": {"query_name": "shop.example.org", "query_type": "A", "validate_answer_rrs": answers},
    }


@pytest.fixture(scope="module")
def probed():
    """The host that is asked: a web server, one for TLS whose certificate nobody signed, one for names."""
    host = scenario.host(PROBED)
    host.check_output("mkdir /srv/probed && touch /srv/probed/health")
    host.check_output("printf %%s %s > /srv/probed/dns.py", NAME_SERVER)
    host.check_output("printf %%s %s > /srv/probed/traefik.txt", TRAEFIK)
    host.check_output(
        "cd /srv/probed && "
        "openssl req -x509 -newkey rsa:2048 -nodes -days 33 -subj /CN=shop -keyout key.pem -out cert.pem"
    )
    for unit, command in SERVERS.items():
        host.check_output(f"systemd-run --unit={unit} --working-directory=/srv/probed {command}")
    yield host
    host.check_output("systemctl stop " + " ".join(SERVERS))
    host.check_output("rm -r /srv/probed")


@pytest.fixture(scope="module")
def site(probed, tmp_path_factory):
    """Runs what has to do with probes, on an inventory with some; goes back to the state of the converge at the end."""
    address = scenario.address(PROBED)
    services = {
        PROBED: [
            {"name": "shop", "port": 8080, "health": "/health", "path": "/", "labels": {"tier": "web"}},
            {"name": "no-health", "port": 8080, "health": ""},
            {"name": "traefik", "port": 8080, "health": "", "path": "/traefik.txt"},
        ]
    }
    targets = [
        {"name": "tcp", "target": f"{address}:8080", "module": "tcp_connect"},
        {"name": "tcp-closed", "target": f"{address}:{NOT_PROBED}", "module": "tcp_connect"},
        {"name": "ping", "target": address, "module": "icmp"},
        {"name": "resolver", "target": address, "module": "dns_root"},
        {"name": "name", "target": address, "module": "dns_shop"},
        {"name": "other-name", "target": address, "module": "dns_other"},
        {"name": "certificate", "target": f"{address}:8443", "module": "tls_connect", "labels": {"tier": "edge"}},
        {"name": "certificate-nobody-signed", "target": f"https://{address}:8443/"},
    ]
    modules = {"dns_shop": name_module("10.9.8.7"), "dns_other": name_module("10.9.8.6")}
    more = tmp_path_factory.mktemp("inventory") / "probes.yml"
    variables = {
        "monitoring_services": f"{{{{ {services!r}[inventory_hostname] | default([]) }}}}",
        "blackbox_exporter_targets": targets,
        "blackbox_exporter_config": {"modules": modules},
        "prometheus_job_scrape_interval": "2s",  # a probe has half a second less
    }
    more.write_text(yaml.safe_dump({"all": {"vars": variables}}))

    def run(*arguments, tags=CONCERNED, **changes) -> scenario.Run:
        words = ["-v", "--tags", tags, *arguments]
        return scenario.playbook("site.yml", *words, variables=changes, inventories=[scenario.inventory(), more])

    assert run().rc == 0
    yield run
    assert scenario.playbook("site.yml", "-v", "--tags", CONCERNED).rc == 0


def probes(prometheus, metric: str = "probe_success") -> dict[str, float]:
    return {one["metric"]["service"]: float(one["value"][1]) for one in prometheus.query(metric)}


def ask(module: str, target: str, port: int = PORT) -> str:
    """What the exporter says when it is asked directly."""
    response = requests.get(
        f"http://{scenario.address(SERVER)}:{port}/probe",
        params={"module": module, "target": target},
        auth=("monitoring", scenario.secret("monitoring_exporter_password")),
        timeout=30,
    )
    response.raise_for_status()
    return response.text


def succeeds(module: str, target: str) -> bool:
    return "\nprobe_success 1\n" in ask(module, target)


# --- what is probed ---


@pytest.mark.usefixtures("site")
def test_probes_of_every_kind(prometheus):
    expected = {
        "shop": 1,
        "tcp": 1,
        "tcp-closed": 0,
        "ping": 1,
        "resolver": 1,
        "name": 1,
        "other-name": 0,
        "certificate": 1,
        "certificate-nobody-signed": 0,  # its answer would be a 200
    }
    wait_for("every probe says what holds", lambda: probes(prometheus) == expected)


@pytest.mark.usefixtures("site")
def test_labels(prometheus):
    """Of a service as its own job has them, so that both can be put side by side; of a listed target its name."""
    found: list[dict[str, str]] = []

    def both() -> bool:
        seen = prometheus.query('probe_success{service=~"shop|certificate"}')
        found[:] = sorted((one["metric"] for one in seen), key=lambda labels: labels["service"])
        return [labels["service"] for labels in found] == ["certificate", "shop"]

    wait_for("the probes", both)
    listed, shop = found
    url = f"http://{PROBED}:8080/health"
    assert shop == {
        "__name__": "probe_success",
        "job": "probe",
        "instance": PROBED,
        "service": "shop",
        "module": "http_2xx",
        "target": url,
        "prober": SERVER,
        "tier": "web",
    }
    assert (listed["instance"], listed["tier"]) == ("certificate", "edge")
    wait_for("it is a target itself", lambda: prometheus.targets().get(("blackbox_exporter", SERVER)) == "up")


@pytest.mark.usefixtures("site")
def test_a_services_health_up_and_down(probed, prometheus):
    wait_for("it is up", lambda: probes(prometheus).get("shop") == 1)
    probed.check_output("mv /srv/probed/health /srv/probed/ill")
    try:
        wait_for("it is down", lambda: probes(prometheus).get("shop") == 0)
    finally:
        probed.check_output("mv /srv/probed/ill /srv/probed/health")
    wait_for("it is up again", lambda: probes(prometheus).get("shop") == 1)


@pytest.mark.usefixtures("site")
def test_the_end_of_a_certificate(probed, prometheus):
    end = probed.check_output("openssl x509 -noout -enddate -in /srv/probed/cert.pem").removeprefix("notAfter=")
    expiry = "probe_ssl_earliest_cert_expiry"
    wanted = {"certificate": ssl.cert_time_to_seconds(end)}
    wait_for("it is known, and no other", lambda: probes(prometheus, expiry) == wanted)


# Which probes there are is in the unit tests (test_probes.py), what one of a certificate tells in the test above.
@pytest.mark.slow
def test_certificates_of_the_components(site, prometheus):
    """Under TLS every component's own; it is asked over TLS, too."""
    assert site(tags="all", monitoring_tls="selfsigned").rc == 0
    server = scenario.host(SERVER)
    curl = f"curl -sS --cacert /etc/prometheus/secrets/ca.crt https://{SERVER}:9090/api/v1/query -K /dev/stdin"

    def found() -> dict[tuple[str, str], float]:
        login = f"user = monitoring:{scenario.secret('monitoring_auth_password')}"
        query = 'query=probe_ssl_earliest_cert_expiry{module="tls_connect"}'
        answer = server.check_output(f"echo '{login}' | {curl} --data-urlencode '{query}'")
        result = yaml.safe_load(answer)["data"]["result"]
        ends = {(one["metric"]["service"], one["metric"]["instance"]): float(one["value"][1]) for one in result}
        ends.pop(("certificate", "certificate"), None)
        return ends

    def end(name: str, host: str) -> int:
        shown = scenario.host(host).check_output(f"openssl x509 -noout -enddate -in /etc/{name}/secrets/tls.crt")
        return ssl.cert_time_to_seconds(shown.removeprefix("notAfter="))

    parts = {("prometheus", SERVER), ("blackbox_exporter", SERVER), ("node_exporter", PROBED)}
    try:
        seen: dict[tuple[str, str], float] = {}
        wait_for("the probes", lambda: seen.update(found()) or parts <= set(seen))
        assert seen == {(name, host): end(name, host) for name, host in seen}
    finally:
        assert site(tags="all").rc == 0


@pytest.mark.usefixtures("site")
def test_traefik_is_scraped_with_its_own_services(prometheus):
    """The alerts and the dashboard go by this label, so nothing of ours may take its place."""

    def services() -> list[tuple[str, str]]:
        found = prometheus.query('traefik_service_requests_total{job="traefik"}')
        return [(one["metric"]["instance"], one["metric"]["service"]) for one in found]

    wait_for("it is scraped", lambda: services() == [(PROBED, "shop@docker")])


# --- how it runs ---


@pytest.mark.usefixtures("site")
def test_it_has_no_capability(server):
    pid = scenario.in_force(SERVER, "blackbox_exporter").pid
    assert re.search(r"^CapEff:\s+0+$", server.file(f"/proc/{pid}/status").content_string, re.MULTILINE)


@pytest.mark.usefixtures("site")
def test_ping_in_a_user_namespace_where_the_kernel_opens_it_to_nobody(server):
    """Test hosts have PrivateUsers=no, and a range that is open to all: neither is what a host has.

    In a container PrivateUsers= only works where /proc is not another one.
    """
    group_range = "/proc/sys/net/ipv4/ping_group_range"
    drop_in = "/run/systemd/system/blackbox_exporter.service.d"
    earlier = server.check_output(f"cat {group_range}")
    server.check_output(
        f"mount -o remount,bind,rw /proc/sys && echo 1 0 > {group_range} && mkdir -p {drop_in} && "
        f"printf '[Service]\\nPrivateUsers=yes\\nProtectProc=default\\nProcSubset=all\\n' > {drop_in}/test.conf"
    )
    try:
        assert not succeeds("icmp", scenario.address(PROBED))  # what runs was started before: the range tells
        server.check_output("systemctl daemon-reload && systemctl restart blackbox_exporter")
        wait_for("it answers", lambda: server.run(f"curl -s 127.0.0.1:{PORT}").rc == 0)
        pid = scenario.in_force(SERVER, "blackbox_exporter").pid
        group = server.group("blackbox_exporter").gid
        assert server.check_output(f"cat {group_range}").split() == [str(group)] * 2
        assert str(group) in server.file(f"/proc/{pid}/gid_map").content_string  # a namespace of its own
        assert succeeds("icmp", scenario.address(PROBED))
        server.check_output(f"echo 0 7 > {group_range} && systemctl restart blackbox_exporter")
        assert server.check_output(f"cat {group_range}").split() == ["0", "7"]  # somebody's choice stays
    finally:
        server.check_output(
            f"rm -r {drop_in} && echo '{earlier}' > {group_range} && mount -o remount,bind,ro /proc/sys"
        )
        server.check_output("systemctl daemon-reload && systemctl restart blackbox_exporter")
    wait_for("it answers", lambda: server.run(f"curl -s 127.0.0.1:{PORT}").rc == 0)


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("path", ["/", "/metrics", "/config", "/-/healthy", "/probe?module=icmp&target=127.0.0.1"])
def test_nothing_without_the_exporters_password(path):
    url = f"http://{scenario.address(SERVER)}:{PORT}{path}"
    assert requests.get(url, timeout=30).status_code == 401
    server_password = scenario.secret("monitoring_auth_password")
    assert requests.get(url, auth=("monitoring", server_password), timeout=30).status_code == 401
    assert requests.post(f"http://{scenario.address(SERVER)}:{PORT}/-/reload", timeout=30).status_code == 401


# --- changes ---


def test_a_second_run_changes_nothing(site):
    assert set(re.findall(r"\bchanged=(\d+)", site().output)) == {"0"}


def test_a_module_that_cannot_be_is_refused(site):
    before = scenario.in_force(SERVER, "blackbox_exporter")
    broken = {"prober": "http", "http": {"valid_status_codes": ["many"]}}
    run = site(tags="blackbox_exporter", blackbox_exporter_config={"modules": {"broken": broken}})
    assert run.rc != 0
    assert "blackbox_exporter --config.check" in run.said
    assert "many" in run.said
    assert f"generation {before.generation} is untouched" in run.said
    assert scenario.in_force(SERVER, "blackbox_exporter") == before
    assert succeeds("dns_shop", scenario.address(PROBED))


def test_a_new_module_takes_a_reload(site):
    before = scenario.in_force(SERVER, "blackbox_exporter")
    mine = {"prober": "tcp", "timeout": "1s"}
    run = site(tags="blackbox_exporter", blackbox_exporter_config={"modules": {"mine": mine}})
    assert run.rc == 0
    assert "reloaded blackbox_exporter.service" in run.said
    after = scenario.in_force(SERVER, "blackbox_exporter")
    assert (after.generation, after.pid) == (before.generation + 1, before.pid)
    assert succeeds("mine", f"{scenario.address(PROBED)}:8080")


def test_wrong_input_is_refused(site):
    """All of it in one run: each is a problem of its own, with a number, whatever else is wrong."""
    before = [scenario.in_force(SERVER, name) for name in ("blackbox_exporter", "prometheus")]
    run = site(
        blackbox_exporter_targets=[{"name": "a"}, {"name": "b", "target": "c", "modul": "icmp"}],
        monitoring_services=[{"name": "shop", "port": 1, "health": "health"}, {"name": "probe", "port": 1}],
    )
    assert run.rc != 0
    named = [
        f"blackbox_exporter_targets of {SERVER}, entry 1 (a): missing required arguments: target",
        f"blackbox_exporter_targets of {SERVER}, entry 2 (b): unknown: modul.",
        f"monitoring_services of {SERVER}: shop has the health check 'health'. Write a path that begins with /",
        f"monitoring_services of {SERVER}: probe is the job of a component already. Give it another name",
    ]
    assert [words for words in named if not re.search(rf"\d\. {re.escape(words)}", run.said)] == []
    assert [scenario.in_force(SERVER, name) for name in ("blackbox_exporter", "prometheus")] == before


@pytest.mark.parametrize("version", ["0.26.0", pytest.param("0.23.0", marks=pytest.mark.slow)])
def test_earlier_versions(site, version):
    run = site(tags="blackbox_exporter", blackbox_exporter_version=version, monitoring_allow_downgrade=True)
    assert run.rc == 0
    address = scenario.address(PROBED)
    for module, target in {
        "http_2xx": f"http://{address}:8080/health",
        "tcp_connect": f"{address}:8080",
        "tls_connect": f"{address}:8443",
        "icmp": address,
        "dns_root": address,
    }.items():
        assert succeeds(module, target), module
    assert site(tags="blackbox_exporter").rc == 0


# cleanup.yml sees, too, that nothing is left; the unit tests (test_component_apply.py), that such a check is exact.
@pytest.mark.slow
def test_it_goes_and_comes_back(site, server, prometheus):
    """What is absent leaves nothing behind and is no target; a check on the empty host says what will be done."""
    assert site(blackbox_exporter_state="absent", blackbox_exporter_remove_data=True).rc == 0
    left = "find /etc /opt /usr/local/bin /var/lib -xdev -name '*blackbox*' -not -path '*/prometheus/*'"
    assert server.check_output(left) == ""
    gone = {"probe", "blackbox_exporter"}
    wait_for("no target", lambda: not gone & {job for job, _host in prometheus.targets()})

    predicted = site("--check", tags="blackbox_exporter")
    assert predicted.rc == 0
    assert server.check_output(left) == ""
    done = site(tags="blackbox_exporter")
    assert done.rc == 0
    for would, did in {
        "would install release 0.28.0": "installed release 0.28.0",
        "would validate with blackbox_exporter --config.check": "validated with blackbox_exporter --config.check",
        "would start blackbox_exporter.service": "started blackbox_exporter.service",
        "would commit generation 1": "committed generation 1",
    }.items():
        assert would in predicted.said
        assert did in done.said
    assert site().rc == 0
