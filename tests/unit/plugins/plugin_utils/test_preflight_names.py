# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_names import (
    group_problems,
    log_agent_problems,
    meant_group,
    misspelt_options,
    tag_warnings,
    variable_findings,
)
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.preflight_report import Problem
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.role_facts import (
    GROUPS,
    components,
    known_variables,
    options,
    routines,
)

# --- groups ---


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("node-exporter", "node_exporter"),
        ("nodeexporter", "node_exporter"),
        ("node_exporters", "node_exporter"),
        ("node_export", "node_exporter"),
        ("nodes_exporter", "node_exporter"),
        ("NodeExporter", "node_exporter"),
        ("Prometheus", "prometheus"),
        ("promtheus", "prometheus"),
        ("promethues", "prometheus"),
        ("prometheuses", "prometheus"),
        ("alert_manager", "alertmanager"),
        ("alertmanagers", "alertmanager"),
        ("postgres_exporters", "postgres_exporter"),
        ("postgresql_exporter", "postgres_exporter"),
        ("blackbox-exporter", "blackbox_exporter"),
        ("black_box_exporter", "blackbox_exporter"),
        ("grafna", "grafana"),
        ("lokis", "loki"),
        ("alloys", "alloy"),
        ("promtails", "promtail"),
        ("cadviser", "cadvisor"),
        ("c-advisor", "cadvisor"),
    ],
)
def test_misspelt_group(group: str, meant: str) -> None:
    assert meant_group(group, GROUPS) == meant


@pytest.mark.parametrize(
    "group",
    [
        *GROUPS,
        "all",
        "ungrouped",
        "prometheus_servers",
        "prometheus2",
        "grafana_agents",
        "dev_loki",
        "loki2",
        "loki_1",
        "monitoring",
        "mysqld_exporter",
        "process_exporter",
        "redis_exporter",
        "exporters",
        "postgres",
        "node",
        "nodes",
        "allow",
        "logs",
        "dating_app",
        "webservers",
    ],
)
def test_a_group_of_its_own(group: str) -> None:
    assert meant_group(group, GROUPS) is None


def test_misspelt_group_tells_its_hosts() -> None:
    groups = {"all": ["a", "b"], "node_exporter": ["a"], "node-exporter": ["a", "b"]}
    (problem,) = group_problems(groups, GROUPS)
    assert problem.what == "the inventory's group node-exporter means nothing here"
    assert problem.seen == "hosts b. Did you mean node_exporter?"


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param({"node_exporter": ["a", "b"], "node_exporters": ["a"]}, id="a part of the right group"),
        pytest.param({"node_exporters": []}, id="empty"),
    ],
)
def test_group_that_does_no_harm(groups: dict[str, list[str]]) -> None:
    assert group_problems(groups, GROUPS) == []


@pytest.mark.parametrize(("groups", "count"), [(["promtail", "alloy", "x"], 1), (["promtail"], 0), (["alloy"], 0)])
def test_two_log_agents(groups: list[str], count: int) -> None:
    assert len(log_agent_problems(groups)) == count


# --- variables ---

KNOWN = known_variables()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("prometheus_versoin", "prometheus_version"),
        ("prometheus_Version", "prometheus_version"),
        ("prometheus_flag", "prometheus_flags"),
        ("prometheus_rule_file", "prometheus_rule_files"),
        ("prometheus_retention", "prometheus_retention_time"),
        ("prometheus_scrape_config", "prometheus_scrape_configs"),
        ("node_exporter_listen_adress", "node_exporter_listen_address"),
        ("node_exporter_text_file_dir", "node_exporter_textfile_dir"),
        ("monitoring_service", "monitoring_services"),
        ("monitoring_service_shop", "monitoring_services_shop"),
        ("monitoring_adress", "monitoring_address"),
        ("monitoring_secret_dir", "monitoring_secrets_dir"),
        ("monitoring_auth_username", "monitoring_auth_user"),
        ("monitoring_mirrors", "monitoring_mirror"),
    ],
)
def test_misspelt_variable(name: str, meant: str) -> None:
    (problem,), warnings = variable_findings([name], KNOWN)
    assert problem.what == f"the variable {name} is not known"
    assert problem.seen == f"did you mean {meant}?"
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prometheus_port", "the role prometheus does not know it"),
        ("prometheus_storage_retention", "the role prometheus does not know it"),
        ("node_exporter_config", "the role node_exporter does not know it"),
        ("monitoring_contact", "the role monitoring does not know it"),
        ("monitoring_service_account", "the role monitoring does not know it"),
        ("promethues_version", "Did you mean prometheus_version?"),
        ("nodeexporter_version", "Did you mean node_exporter_version?"),
    ],
)
def test_unknown_variable_is_a_warning(name: str, said: str) -> None:
    problems, (warning,) = variable_findings([name], KNOWN)
    assert problems == []
    assert f"The variable {name} has no effect here" in warning
    assert said in warning


@pytest.mark.parametrize(
    "name",
    [
        *KNOWN,
        "monitoring_services_shop",
        "monitoring_services_tls",
        1,  # a key of YAML
        "ansible_host",
        "inventory_hostname",
        "groups",
        "my_version",
        "mysql_version",
        "nginx_flags",
        "backup_repository",
        "backup_password",
        "backup_schedule",
        "restore_snapshot",
        "restore_overwrite",
        "restore_drill",
        "upgrade_to",
        "rollback_component",
        "rollback_generation",
        "doctor_report_dir",
        "dating_app_version",
        "__monitoring_address",
        "__monitoring_auth_password",
        "__prometheus_version",
    ],
)
def test_name_that_is_right_or_of_others(name: t.Any) -> None:
    assert variable_findings([name], KNOWN) == ([], [])


@pytest.mark.parametrize("component", ["grafana", "loki", "promtail", "alloy", "cadvisor"])
def test_component_without_a_role_yet(component: str) -> None:
    """Its fixed names may stand in an inventory already."""
    known = {name: role for name, role in KNOWN.items() if role != component}
    assert variable_findings([f"{component}_version", f"{component}_anything"], known) == ([], [])


# --- options of routines ---


def misspelt(names: t.Iterable[t.Any]) -> list[Problem]:
    return [problem for role in routines() for problem in misspelt_options(names, role, options(role))]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("backup_repositry", "backup_repository"),
        ("backup_kep", "backup_keep"),
        ("backup_component", "backup_components"),
        ("bakup_keep", "backup_keep"),
        ("restore_overwrit", "restore_overwrite"),
        ("restore_dril", "restore_drill"),
        ("restore-drill", "restore_drill"),
        ("Restore_Drill", "restore_drill"),
        ("restor_drill", "restore_drill"),
        ("retsore_dril", "restore_drill"),
        ("restore_hots", "restore_host"),
        ("rollback_components", "rollback_component"),
        ("upgrade_pacience", "upgrade_patience"),
        ("upgrade_too", "upgrade_to"),
        ("silence_fr", "silence_for"),
        ("silence_hosts", "silence_host"),
        ("maintenance_kep", "maintenance_keep"),
        ("mirror_dirs", "mirror_dir"),
        ("reload_al", "reload_all"),
    ],
)
def test_misspelt_option_of_a_routine(name: str, meant: str) -> None:
    remedy = f"call it {meant}, or remove it"
    assert misspelt([name]) == [Problem(f"the variable {name} is not known", f"did you mean {meant}?", remedy)]


@pytest.mark.parametrize(
    "name",
    [
        *(name for role in routines() for name in options(role)),
        1,  # a key of YAML
        "backup",
        "backup_dir",
        "backup_enabled",
        "backup_retention_days",
        "backup_host2",
        "backup_keep_days",
        "backup_password_file",
        "my_backup_host",
        "pg_backup_schedule",
        "pgbackup_password",
        "backups_keep",
        "restore_from",
        "restored_host",
        "upgrade_packages",
        "silence_reason",
        "maintenance_mode",
        "mirror_url",
        "reload_nginx",
        "__restore_dril",
    ],
)
def test_name_that_no_routine_has_a_say_in(name: t.Any) -> None:
    assert misspelt([name]) == []


def test_a_misspelt_tag_is_told() -> None:
    said = tag_warnings(["all", "promtheus", "grafana", "weekly", "loki2"], components())
    assert said == ["Nothing of this collection has the tag promtheus. Did you mean prometheus?"]
