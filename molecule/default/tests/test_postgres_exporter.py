# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""postgres_exporter beside a real PostgreSQL: its role of the database, several databases, passwords, failures."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
import requests
import yaml

from tests.testbed import scenario
from tests.testbed.scenario import wait_for

HOST = "opswatch-app"
SERVER = "opswatch-debian13"
DATABASES = {
    "postgres_exporter_databases": [{"database": "shop"}, {"database": "stock"}],
    "postgres_exporter_flags": {"collector.stat_statements": True},
    "prometheus_job_scrape_interval": "2s",
}
CONCERNED = ("--tags", "postgres_exporter,prometheus")  # who has to do with databases
PASSWORD = "a-password-for-the-database"
WATCHER = {"host": "127.0.0.1", "database": "shop", "user": "watcher", "sslmode": "disable", "password": PASSWORD}

# Says what a client sends when it is asked for a password in the clear, as any server may.
LISTENER = """
import socket, struct, sys
server = socket.create_server(("127.0.0.1", 5999))
print("listening", flush=True)
while True:
    client, _ = server.accept()
    client.recv(4096)
    client.sendall(b"R" + struct.pack("!II", 8, 3))
    print(client.recv(4096), flush=True)
    client.close()
"""


def site(*arguments, inventories=(), **variables) -> scenario.Run:
    return scenario.playbook("site.yml", "-v", *arguments, variables=variables, inventories=inventories)


def exporter_alone(**variables) -> scenario.Run:
    return site("--tags", "postgres_exporter", "--limit", HOST, **variables)


def changes(run: scenario.Run) -> int:
    return sum(int(number) for number in re.findall(r"changed=(\d+)", run.output))


@pytest.fixture
def database():
    return scenario.host(HOST)


def psql(database, statement: str, name: str = "postgres", account: str = "postgres") -> str:
    words = "cd / && runuser -u %s -- psql -XqAt --set ON_ERROR_STOP=1 --dbname %s --command %s"
    return database.check_output(words, account, name, statement)


def refused(database, statement: str, name: str) -> str:
    """What PostgreSQL says to the exporter's own account."""
    words = "cd / && runuser -u postgres_exporter -- psql -XqAt --set ON_ERROR_STOP=1 --dbname %s --command %s"
    done = database.run(words, name, statement)
    assert done.rc != 0, done.stdout
    return done.stderr


def metrics(path: str = "/metrics", **parameters: str) -> str:
    auth = ("monitoring", scenario.secret("monitoring_exporter_password"))
    url = f"http://{scenario.address(HOST)}:9187{path}"
    answer = requests.get(url, params=parameters, auth=auth, timeout=30)
    answer.raise_for_status()
    return answer.text


def value(text: str, name: str) -> float:
    (found,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found)


@pytest.fixture(scope="module")
def two_databases():
    """Two databases with the same tables, statements on, watched by the exporter; afterwards as converge left it."""
    database = scenario.host(HOST)
    preload = "/etc/postgresql/15/main/conf.d/statements.conf"
    database.check_output(f"echo \"shared_preload_libraries = 'pg_stat_statements'\" > {preload}")
    database.check_output("systemctl restart postgresql@15-main")
    for name in ("shop", "stock"):
        psql(database, f"CREATE DATABASE {name}")
        psql(database, "CREATE EXTENSION pg_stat_statements", name)
        psql(database, "CREATE TABLE orders (id int PRIMARY KEY, who text); CREATE INDEX by_who ON orders (who)", name)
        psql(database, "INSERT INTO orders SELECT n, 'somebody' FROM generate_series(1, 5000) n; ANALYZE", name)
        psql(database, "SELECT count(*) FROM orders WHERE id = 77", name)
    psql(database, f"CREATE ROLE watcher LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor")
    psql(database, "REVOKE CONNECT ON DATABASE stock FROM PUBLIC")
    run = site(*CONCERNED, **DATABASES)
    assert run.rc == 0
    assert "GRANT CONNECT ON DATABASE stock TO postgres_exporter" in run.output
    yield
    restored = site(*CONCERNED)
    for name in ("shop", "stock"):
        psql(database, f"DROP DATABASE {name} WITH (FORCE)")
    psql(database, "DROP ROLE watcher")
    database.check_output(f"rm {preload} && systemctl restart postgresql@15-main")
    assert restored.rc == 0


# --- as converge leaves it ---


def test_it_reaches_the_database_over_the_socket(prometheus):
    assert value(metrics(), "pg_up") == 1
    wait_for("it is scraped", lambda: [one["value"][1] for one in prometheus.query("pg_up")] == ["1"])
    (up,) = prometheus.query("pg_up")
    assert {key: up["metric"][key] for key in up["metric"] if key != "__name__"} == {
        "instance": HOST,
        "job": "postgres_exporter",
    }


@pytest.mark.parametrize("path", ["/", "/metrics", "/probe?target=postgresql://localhost", "/-/ready"])
def test_nothing_without_the_password(path):
    url = f"http://{scenario.address(HOST)}:9187{path}"
    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, auth=("monitoring", "wrong"), timeout=30).status_code == 401


def test_role_is_put_right(database):
    """Somebody gave it more than it needs. Check mode says what would happen, and does not do it."""
    flags = "SELECT rolsuper, rolconnlimit FROM pg_roles WHERE rolname = 'postgres_exporter'"
    psql(database, "ALTER ROLE postgres_exporter SUPERUSER CONNECTION LIMIT -1")
    predicted = site("--check", "--tags", "postgres_exporter", "--limit", HOST)
    assert psql(database, flags) == "t|-1"
    done = exporter_alone()
    assert psql(database, flags) == "f|10"
    for run in (predicted, done):
        assert run.rc == 0
        assert changes(run) == 1
        assert "ALTER ROLE postgres_exporter LOGIN INHERIT NOSUPERUSER" in run.output
    assert changes(exporter_alone()) == 0


def test_without_a_database_it_says_what_to_do(database):
    before = scenario.in_force(HOST, "postgres_exporter")
    database.check_output("systemctl stop postgresql@15-main")
    try:
        run = exporter_alone()
        alone = exporter_alone(postgres_exporter_manage_role=False)
        assert value(metrics(), "pg_up") == 0
    finally:
        database.check_output("systemctl start postgresql@15-main")
    assert run.rc != 0
    assert "The role postgres_exporter cannot be looked after" in run.said
    assert "Is the server running locally" in run.said
    assert "What to do: see that the server runs" in run.said
    assert alone.rc == 0
    assert scenario.in_force(HOST, "postgres_exporter") == before
    wait_for("it reaches the database again", lambda: value(metrics(), "pg_up") == 1)


@pytest.mark.parametrize("version", ["0.11.1", pytest.param("0.17.1", marks=pytest.mark.slow)])
def test_earlier_versions(prometheus, version):
    def scraped() -> set[str]:
        return {one["metric"]["version"] for one in prometheus.query("postgres_exporter_build_info")}

    run = exporter_alone(postgres_exporter_version=version, monitoring_allow_downgrade=True)
    try:
        assert run.rc == 0
        text = metrics()
        assert f'version="{version}' in text
        assert value(text, "pg_up") == 1
    finally:
        upgraded = exporter_alone()
    assert upgraded.rc == 0
    assert 'version="0.19.1' in metrics()
    # Prometheus forgets a target whose interval is changed before it could scrape it again, and with it that its series
    # have ended: what the earlier version said would be found for five minutes.
    wait_for("it is scraped again", lambda: scraped() == {"0.19.1"}, 60)


# --- several databases ---


@pytest.mark.usefixtures("two_databases")
def test_second_run_changes_nothing():
    checked = site("--check", *CONCERNED, **DATABASES)
    again = site(*CONCERNED, **DATABASES)
    assert (checked.rc, again.rc) == (0, 0)
    assert changes(checked) == changes(again) == 0


@pytest.mark.usefixtures("two_databases")
def test_role_can_do_no_more_than_it_has_to(database):
    role = psql(database, "SELECT * FROM pg_roles WHERE rolname = 'postgres_exporter'")
    assert role
    attributes = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    assert psql(database, f"SELECT {attributes} FROM pg_roles WHERE rolname = 'postgres_exporter'") == "f"
    assert psql(database, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres_exporter'") == "t"
    memberships = "SELECT roleid::regrole FROM pg_auth_members WHERE member = 'postgres_exporter'::regrole"
    assert psql(database, memberships) == "pg_monitor"
    assert "permission denied" in refused(database, "SELECT * FROM orders", "shop")
    assert "permission denied" in refused(database, "UPDATE orders SET who = 'me'", "stock")
    assert "permission denied" in refused(database, "CREATE TABLE mine ()", "shop")
    assert "permission denied" in refused(database, "CREATE ROLE mine", "shop")
    assert "permission denied" in refused(database, "SELECT pg_read_file('/etc/passwd')", "shop")
    # Nobody else gets in by this role.
    other = database.run("cd / && runuser -u nobody -- psql --username postgres_exporter --command 'SELECT 1' shop")
    assert "Peer authentication failed" in other.stderr


@pytest.mark.usefixtures("two_databases")
def test_tables_and_indexes_of_both_are_told_apart(prometheus):
    def scans() -> dict[str, float]:
        found = prometheus.query('pg_stat_user_tables_idx_scan{relname="orders"}')
        assert len({one["metric"]["datname"] for one in found}) == len(found)
        return {one["metric"]["datname"]: float(one["value"][1]) for one in found}

    # Each anew until it holds: what a slow scrape has missed is there again with the next one.
    wait_for("both tables are there", lambda: set(scans()) == {"shop", "stock"} and min(scans().values()) >= 1)
    for name, labels in {
        "pg_stat_user_tables_n_live_tup": {("shop", None, HOST), ("stock", "stock", HOST)},
        "pg_statio_user_indexes_idx_blks_hit_total": {(None, None, HOST), (None, "stock", HOST)},
    }.items():

        def seen(name: str = name) -> set[tuple[str | None, ...]]:
            found = prometheus.query(f'{name}{{relname="orders"}}')
            return {tuple(one["metric"].get(label) for label in ("datname", "database", "instance")) for one in found}

        wait_for(f"{name} of both, and of nothing else", lambda seen=seen, labels=labels: seen() == labels)

    def indexes() -> set[str]:
        found = prometheus.query('pg_statio_user_indexes_idx_blks_hit_total{database="stock"}')
        return {one["metric"]["indexrelname"] for one in found}

    wait_for("the indexes of its table", lambda: indexes() == {"orders_pkey", "by_who"})


@pytest.mark.usefixtures("two_databases")
def test_what_a_server_says_is_there_once(prometheus):
    """Each probe brings the numbers of all databases again: a sum over them must not count twice."""
    wait_for("both are scraped", lambda: len(prometheus.query("pg_up == 1")) == 2, 60)

    def twice() -> set[str]:
        everything = prometheus.query('{job="postgres_exporter", __name__=~"pg_.*"}')
        assert len(everything) > 100
        without = ("database", "server")
        keys = [tuple(sorted(item for item in one["metric"].items() if item[0] not in without)) for one in everything]
        names = {dict(key)["__name__"] for key, count in Counter(keys).items() if count > 1}
        return {name for name in names if not re.match("pg_(up$|exporter_|scrape_|statio_user_indexes_)", name)}

    # What the target of before has said is stale two of its intervals after it is gone.
    wait_for("each number is there once", lambda: not twice(), 60)
    assert len(prometheus.query('pg_stat_database_xact_commit{datname="shop"}')) == 1
    assert len(prometheus.query("pg_settings_max_connections")) == 1
    health = prometheus.get("/api/v1/targets", state="active").json()["data"]["activeTargets"]
    ours = [one for one in health if one["labels"]["job"] == "postgres_exporter"]
    assert [(one["health"], one["lastError"]) for one in ours] == [("up", "")] * 2
    for problem in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        (count,) = prometheus.query(f"prometheus_target_scrapes_sample_{problem}_total")
        assert count["value"][1] == "0"


@pytest.mark.usefixtures("two_databases")
def test_every_collector_works_behind_the_hardening():
    text = metrics()
    works = dict(re.findall(r'^pg_scrape_collector_success\{collector="(\w+)"\} (\d)$', text, re.MULTILINE))
    assert {name for name, success in works.items() if success != "1"} == set()
    assert {
        "long_running_transactions",
        "stat_statements",
        "stat_user_tables",
        "statio_user_indexes",
        "statio_user_tables",
    } <= set(works)
    assert value(text, "pg_exporter_last_scrape_error") == 0


@pytest.mark.usefixtures("two_databases")
def test_statements_where_they_are_on(prometheus):
    query = 'pg_stat_statements_calls_total{datname="shop", user="postgres"}'
    wait_for("statements are there", lambda: prometheus.query(query))


@pytest.mark.usefixtures("two_databases")
def test_a_long_transaction_is_seen(database):
    oldest = "pg_long_running_transactions_oldest_timestamp_seconds"
    statement = "BEGIN; SELECT pg_sleep(300)"
    database.check_output("systemd-run --unit=long --uid=postgres psql -X --command %s shop", statement)
    try:
        wait_for("it is seen", lambda: value(metrics(), oldest) > 3)
    finally:
        database.run("systemctl stop long")
    assert value(metrics(), "pg_long_running_transactions") >= 0


# --- a password ---


@pytest.fixture(scope="module")
def with_password(two_databases, tmp_path_factory):
    """The first database over the socket, and what is to be another server over TCP, with a password."""
    # As from a vault: with -e, Ansible itself would show it.
    mine = tmp_path_factory.mktemp("inventory") / "databases.yml"
    databases = [{"database": "shop"}, WATCHER]
    mine.write_text(yaml.safe_dump({"all": {"vars": {"postgres_exporter_databases": databases}}}))
    inventories = [scenario.inventory(), mine]
    run = site("-vvv", "--diff", *CONCERNED, inventories=inventories, prometheus_job_scrape_interval="2s")
    assert run.rc == 0
    return run


def test_a_password_works_and_is_not_in_sight(with_password, database, prometheus):
    def up() -> dict[str, str]:
        return {one["metric"]["instance"]: one["value"][1] for one in prometheus.query("pg_up")}

    wait_for("both are up", lambda: up() == {HOST: "1", "127.0.0.1:5432": "1"})
    settings = 'pg_settings_max_connections{instance="127.0.0.1:5432"}'
    wait_for("its settings are there, once", lambda: len(prometheus.query(settings)) == 1)
    assert PASSWORD not in with_password.output
    told = database.run(
        "ps -eww -o args; cat /etc/systemd/system/*.service; systemctl show '*.service'; journalctl --no-pager -o cat;"
        "cat /proc/[0-9]*/environ"
    ).stdout
    assert "DATA_SOURCE_NAME=" in told
    assert PASSWORD not in told
    for name in (HOST, SERVER):
        readable = "find / -xdev -type f -perm -o+r -not -path '/proc/*' -not -path '/sys/*'"
        assert scenario.host(name).run(f"{readable} -size -4M -exec grep -lF -e {PASSWORD} {{}} +").stdout == ""
    listing = database.check_output("stat -Lc '%a %U %G' /etc/postgres_exporter/secrets/pgpass")
    assert listing == "640 root postgres_exporter"
    assert database.check_output("stat -c '%a %U' /run/postgres_exporter/pgpass") == "600 postgres_exporter"
    assert PASSWORD not in json.dumps(prometheus.get("/api/v1/targets").json())


@pytest.mark.usefixtures("with_password")
def test_a_password_is_sent_to_its_own_server_only(database):
    """/probe connects to wherever it is told. Whoever may ask it must not get the password by that."""
    # Into a file: what it says there can be read at once, which the journal does not promise.
    words = "systemd-run --unit=listener --property=StandardOutput=file:/run/heard python3 -u -c %s"
    database.check_output(words, LISTENER)
    try:
        wait_for("it listens", lambda: "listening" in database.run("cat /run/heard").stdout)
        target = "postgresql://watcher@127.0.0.1:5999/shop?sslmode=disable"
        for asked in (target, target + "&passfile=/run/postgres_exporter/pgpass"):
            assert value(metrics("/probe", target=asked), "pg_up") == 0
        heard = database.check_output("cat /run/heard")
    finally:
        database.run("systemctl stop listener; systemctl reset-failed listener; rm -f /run/heard")
    assert "b'p" in heard  # it was asked for a password and answered
    assert PASSWORD not in heard


# --- the end ---


@pytest.mark.usefixtures("two_databases")
def test_absent_leaves_nothing_of_ours(database, prometheus):
    """Nor of a password, where there was one."""
    run = site(*CONCERNED, postgres_exporter_state="absent", postgres_exporter_remove_data=True, **DATABASES)
    assert run.rc == 0
    left = "find /etc /opt /usr/local /var/lib /run -xdev -name '*postgres_exporter*' -not -path '/run/opswatch/*.lock'"
    left += " -not -path '/var/lib/opswatch/prometheus/*'"  # where Prometheus runs beside it
    assert database.check_output(left) == ""
    assert database.run("systemctl cat postgres_exporter").rc != 0
    # As the account stays, so does the role: nobody but that account can be it.
    assert psql(database, "SELECT count(*) FROM pg_roles WHERE rolname = 'postgres_exporter'") == "1"
    wait_for("it is no target any more", lambda: ("postgres_exporter", HOST) not in prometheus.targets())
