# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alertmanager: what it is told reaches people, its secrets stay in files, and its changes are reloads."""

from __future__ import annotations

import re

import pytest

from tests.testbed import scenario
from tests.testbed.scenario import Alertmanager, Prometheus, wait_for

SERVER = "opswatch-debian13"
QUICK = {"group_wait": "1s", "group_interval": "2s"}


@pytest.fixture(scope="module")
def sink():
    with scenario.sink(scenario.gateway(SERVER)) as found:
        yield found


@pytest.fixture
def receivers(sink):
    mail = {"to": "ops@example.com", "from": "am@example.com", "smarthost": sink.smarthost, "require_tls": False}
    return [
        {"name": "mail", "email_configs": [mail]},
        {
            "name": "chat-room",
            "severities": ["critical"],
            "slack_configs": [{"api_url": f"{sink.url}/slack/planted-secret", "channel": "#ops"}],
        },
        {"name": "hook", "severities": ["none"], "webhook_configs": [{"url": f"{sink.url}/hook/planted-secret"}]},
    ]


@pytest.fixture(scope="module", autouse=True)
def _restored():
    """Once for all: each test here starts from whatever the one before it has left."""
    yield
    assert scenario.playbook("site.yml").rc == 0


def site(*arguments, tags="alertmanager", **variables) -> scenario.Run:
    return scenario.playbook("site.yml", "--tags", tags, *arguments, variables=variables)


def fire(name: str, severity: str, over: bool = False) -> None:
    labels = {"alertname": name, "severity": severity, "job": "test", "instance": "somewhere"}
    alert = {"labels": labels, "annotations": {"summary": "a thing", "runbook_url": "https://example.com/x"}}
    if over:
        alert |= {"startsAt": "2019-12-31T00:00:00Z", "endsAt": "2020-01-01T00:00:00Z"}
    assert Alertmanager(SERVER).post("/api/v2/alerts", [alert]).status_code == 200


def arrived(sink) -> set[str]:
    """What has arrived, a few words each."""
    found = set()
    for message in sink.messages:
        if message["via"] == "mail":
            found.add(f"mail {message['subject']}")
        elif message["path"].startswith("/slack"):
            found.add(f"slack {message['body']['attachments'][0]['title']}")
        else:
            found.add(f"hook {message['body']['status']}")
    return found


def test_prometheus_sends_alerts_to_it():
    def known() -> list[str]:
        answer = Prometheus(SERVER).get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
        return [one["url"] for one in answer]

    wait_for("it is known", lambda: known() == [f"http://{SERVER}:9093/api/v2/alerts"])


def test_notifications_go_where_their_severity_says(sink, receivers):
    """Mail over a real SMTP server, the others as a POST; each tells of the beginning and of the end."""
    before = scenario.in_force(SERVER, "alertmanager")
    run = site("--diff", "-vvv", alertmanager_receivers=receivers, alertmanager_route=QUICK)
    assert run.rc == 0
    assert "planted-secret" not in run.output.split("TASK [", 1)[1]  # what -e says itself comes before
    after = scenario.in_force(SERVER, "alertmanager")
    assert (after.generation, after.pid) == (before.generation + 1, before.pid)

    fire("Grave", "critical")
    fire("Odd", "warning")
    fire("Watchdog", "none")
    begun = {"mail [CRITICAL] Grave: a thing", "slack [CRITICAL] Grave: a thing", "mail [WARNING] Odd: a thing"}

    def ours() -> set[str]:
        """Without what Prometheus itself may have to tell of a busy machine."""
        return {words for words in arrived(sink) if re.search("^hook| (Grave|Odd):", words)}

    wait_for("all have arrived", lambda: ours() == {*begun, "hook firing"})
    mails = [message for message in sink.messages if message["via"] == "mail"]
    text = next(mail["text"] for mail in mails if "Grave" in mail["subject"])
    assert "What to do: https://example.com/x" in text
    fire("Grave", "critical", over=True)
    ended = {"mail [RESOLVED] Grave: a thing", "slack [RESOLVED] Grave: a thing"}
    wait_for("its end has arrived", lambda: ended <= arrived(sink))


def test_a_critical_alert_silences_the_warning_of_the_same_thing():
    fire("Twofold", "critical")
    fire("Twofold", "warning")

    def inhibited() -> list[bool]:
        alerts = Alertmanager(SERVER).get("/api/v2/alerts", filter='alertname="Twofold"').json()
        return [bool(one["status"]["inhibitedBy"]) for one in alerts if one["labels"]["severity"] == "warning"]

    wait_for("the warning is silent", lambda: inhibited() == [True])


def test_a_host_that_is_gone_is_told_once():
    names = {"HostDown", "ServiceDown", "ProbeFailed", "DiskSpaceLow"}
    for name in names:
        fire(name, "critical")

    def told() -> set[str]:
        alerts = Alertmanager(SERVER).get("/api/v2/alerts", filter='instance="somewhere"', inhibited="false").json()
        return names & {one["labels"]["alertname"] for one in alerts}

    wait_for("the rest is silent", lambda: told() == {"HostDown", "DiskSpaceLow"})


def test_a_service_that_stops_is_told_to_people_and_so_is_its_return(sink, receivers):
    """The whole way: from the process that is gone, by scrape, rule and route, to the mail and the chat."""
    variables = {
        "alertmanager_receivers": receivers,
        "alertmanager_route": QUICK,
        "prometheus_job_scrape_interval": "5s",
        "prometheus_evaluation_interval": "5s",
    }
    assert site(tags="alertmanager,prometheus", **variables).rc == 0
    stopped = scenario.host("opswatch-debian12")

    def both_say(words: str) -> bool:
        said = {message for message in arrived(sink) if words in message and "opswatch-debian12" in message}
        return {message.split()[0] for message in said} == {"mail", "slack"}

    stopped.check_output("systemctl stop node_exporter")
    try:
        wait_for("both have told it", lambda: both_say("[CRITICAL] ServiceDown"), 300)
    finally:
        stopped.check_output("systemctl start node_exporter")
    wait_for("both have told its return", lambda: both_say("[RESOLVED] ServiceDown"))


def test_secrets_are_in_files_of_their_own(sink, receivers):
    assert site(alertmanager_receivers=receivers).rc == 0
    host = scenario.host(SERVER)
    found = host.check_output("grep -rl planted-secret /etc /opt /var/lib /run 2>/dev/null; true").split()
    assert sorted(re.sub("_[0-9a-f]{8}_", "_*_", path) for path in found) == [
        "/var/lib/opswatch/alertmanager/secrets/chat-room_slack_*_api_url",
        "/var/lib/opswatch/alertmanager/secrets/hook_webhook_*_url",
    ]
    for path in found:
        assert host.check_output("stat -c '%%a %%U %%G' %s", path) == "640 root alertmanager"
    # A changed one is used from the next notification on, without a reload.
    before = scenario.in_force(SERVER, "alertmanager")
    receivers[1]["slack_configs"][0]["api_url"] = f"{sink.url}/slack/another"
    assert site(alertmanager_receivers=receivers).rc == 0
    assert scenario.in_force(SERVER, "alertmanager") == before


def receiver(**integrations):
    return {"alertmanager_receivers": [{"name": "a", **integrations}]}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        # amtool says it on the host, where a run only gets if the preflight has found nothing.
        pytest.param(receiver(email_configs=[{"to": "x", "body": "y"}]), ["field body not found"], id="amtool"),
        pytest.param(
            {**receiver(email={"to": "x"}), "alertmanager_template_files": ["{{ playbook_dir }}/nowhere.tmpl"]},
            [
                "alertmanager_receivers: a has email What to do: state lists such as email_configs",
                "alertmanager_template_files names a file that is not there: ",
                "/nowhere.tmpl What to do: correct the path",
            ],
            id="preflight",
        ),
        # Not together with a wrong receiver, as routes are looked at after them. test_preflight.py has it in every run.
        pytest.param(
            {"alertmanager_route": {"receiver": "nowhere"}},
            ['undefined receiver "nowhere"'],
            marks=pytest.mark.slow,
            id="route",
        ),
    ],
)
def test_what_it_refuses_changes_nothing(variables, named):
    before = scenario.in_force(SERVER, "alertmanager")
    run = site(**variables)
    assert run.rc != 0
    assert [words for words in named if words not in run.said] == []
    assert scenario.in_force(SERVER, "alertmanager") == before
    assert Alertmanager(SERVER).get("/-/ready").status_code == 200


def test_behind_a_path():
    """Its own prefix: for readiness, for the scrape and for alerts."""
    run = scenario.playbook(
        "site.yml",
        variables={
            "alertmanager_external_url": "https://example.com/alerts/",
            "prometheus_external_url": "https://example.com/prometheus",
            "prometheus_job_scrape_interval": "2s",
        },
    )
    assert run.rc == 0
    prometheus = Prometheus(SERVER)
    prometheus.prefix = "/prometheus"
    servers = [("alertmanager", SERVER), ("prometheus", SERVER)]
    wait_for("both are up", lambda: [prometheus.targets().get(one) for one in servers] == ["up", "up"])

    def known() -> list[str]:
        answer = prometheus.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]
        return [one["url"] for one in answer]

    wait_for("it is known", lambda: known() == [f"http://{SERVER}:9093/alerts/api/v2/alerts"])
