# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookups, found and run as Ansible finds and runs them."""

from __future__ import annotations

import multiprocessing
import secrets
import typing as t
from pathlib import Path

import bcrypt
import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.opswatch.monitoring.plugins.plugin_utils.secrets_dir import ENDING, PLACEHOLDER
from cryptography import x509


def lookup(name: str, *terms: str, check_mode: bool = False, variables: t.Any = None, **options: t.Any) -> list[t.Any]:
    variables = {"ansible_check_mode": check_mode, **(variables or {})}
    templar = Templar(loader=DataLoader(), variables=variables)
    plugin = lookup_loader.get(f"opswatch.monitoring.{name}", templar=templar)
    return plugin.run(list(terms), variables=variables, **options)


# --- secret ---


def test_secret_is_made_once_for_each_name(tmp_path: Path) -> None:
    one, two = lookup("secret", "one", "two", dir=str(tmp_path))
    assert one != two
    assert len(one) == len(two) == 32
    assert lookup("secret", "two", "one", dir=str(tmp_path)) == [two, one]


def test_secret_in_check_mode(tmp_path: Path) -> None:
    assert lookup("secret", "one", dir=str(tmp_path / "new"), check_mode=True) == [PLACEHOLDER]
    assert list(tmp_path.iterdir()) == []
    (made,) = lookup("secret", "one", dir=str(tmp_path))
    assert lookup("secret", "one", dir=str(tmp_path), check_mode=True) == [made]


def test_secret_that_is_only_asked_for(tmp_path: Path) -> None:
    assert lookup("secret", "one", dir=str(tmp_path / "new"), make=False) == [PLACEHOLDER]
    assert list(tmp_path.iterdir()) == []
    (made,) = lookup("secret", "one", dir=str(tmp_path))
    assert lookup("secret", "one", dir=str(tmp_path), make=False) == [made]


def test_secret_needs_a_folder() -> None:
    with pytest.raises(AnsibleError, match="give dir, or set monitoring_secrets_dir"):
        lookup("secret", "one")


def test_the_folder_is_that_of_the_host_unless_it_is_told(tmp_path: Path) -> None:
    variables = {"base": str(tmp_path), "monitoring_secrets_dir": trust_as_template("{{ base }}/of the host")}
    (one,) = lookup("secret", "one", variables=variables)
    assert (tmp_path / "of the host" / f"one{ENDING}").read_text() == one + "\n"
    (other,) = lookup("secret", "one", variables=variables, dir=str(tmp_path))
    assert other != one


@pytest.mark.parametrize("stated", ["~/s", "$HOME/s", "s", "{home}/s"])
def test_the_folder_of_the_host_is_a_path_as_others_are(
    stated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    lookup("secret", "one", variables={"monitoring_secrets_dir": stated.format(home=tmp_path)})
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


# --- bcrypt_hash ---


def hashed(password: str, folder: Path, **more: t.Any) -> str:
    (found,) = lookup("bcrypt_hash", "pw", password=password, dir=str(folder), **more)
    return found


def test_hash_stays_as_long_as_the_password(tmp_path: Path) -> None:
    first = hashed("one", tmp_path)
    assert bcrypt.checkpw(b"one", first.encode())
    assert hashed("one", tmp_path) == first
    second = hashed("two", tmp_path)
    assert bcrypt.checkpw(b"two", second.encode())
    assert hashed("two", tmp_path) == second
    assert [path.name for path in tmp_path.iterdir()] == [f"pw.bcrypt{ENDING}"]


def test_what_nobody_can_guess_has_few_rounds(tmp_path: Path) -> None:
    """And a hash of other rounds is made again, as the password may now be another kind."""
    assert hashed("x" * 31, tmp_path).startswith("$2b$10$")
    generated = secrets.token_urlsafe(24)
    assert hashed(generated, tmp_path).startswith("$2b$04$")
    (tmp_path / f"pw.bcrypt{ENDING}").write_text(bcrypt.hashpw(generated.encode(), bcrypt.gensalt(10)).decode())
    assert hashed(generated, tmp_path).startswith("$2b$04$")


def test_hash_in_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert bcrypt.checkpw(b"one", hashed("one", tmp_path, check_mode=True).encode())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", ["", "no hash at all", "$2b$10$short"])
def test_damaged_hash_is_made_again(damaged: str, tmp_path: Path) -> None:
    (tmp_path / f"pw.bcrypt{ENDING}").write_text(damaged)
    assert bcrypt.checkpw(b"one", hashed("one", tmp_path).encode())


def test_password_that_bcrypt_would_cut_off(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match="more than 72 bytes"):
        hashed("ä" * 37, tmp_path)
    assert hashed("ä" * 36, tmp_path)


# --- certificate ---


def names_in(certificate: str) -> list[str]:
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_certificate_is_kept_until_its_names_change(tmp_path: Path) -> None:
    (first,) = lookup("certificate", "web1", names=["web1", "10.0.0.1"], dir=str(tmp_path))
    assert names_in(first["tls.crt"]) == ["web1", "10.0.0.1", "localhost", "127.0.0.1"]
    assert lookup("certificate", "web1", names=["web1", "10.0.0.1"], dir=str(tmp_path)) == [first]
    (second,) = lookup("certificate", "web1", names=["web1"], dir=str(tmp_path))
    assert names_in(second["tls.crt"]) == ["web1", "localhost", "127.0.0.1"]
    assert second["ca.crt"] == first["ca.crt"]


def test_hosts_have_one_authority_and_a_key_each(tmp_path: Path) -> None:
    one, two = lookup("certificate", "web1", "web2", names=["x"], dir=str(tmp_path))
    assert one["ca.crt"] == two["ca.crt"]
    assert one["tls.key"] != two["tls.key"]


def test_certificate_in_check_mode_writes_nothing(tmp_path: Path) -> None:
    (made,) = lookup("certificate", "web1", names=["web1"], dir=str(tmp_path), check_mode=True)
    assert sorted(made) == ["ca.crt", "tls.crt", "tls.key"]
    assert list(tmp_path.iterdir()) == []


# --- scrape_jobs, and the filters over it ---


def test_a_task_asks_all_hosts_once() -> None:
    """In a worker, whose hosts stay what they are; elsewhere they may change from one question to the next."""
    hostvars: dict[str, t.Any] = {"web1": {}}
    variables = {"groups": {"all": ["web1"], "node_exporter": ["web1"]}, "hostvars": hostvars}

    def addresses() -> list[str]:
        (job,) = lookup("scrape_jobs", variables=variables)
        return list(job["targets"][0]["targets"])

    def in_a_worker(said: t.Any) -> None:
        first = addresses()
        hostvars["web1"]["monitoring_address"] = "web9"
        again = addresses()
        variables["hostvars"] = dict(hostvars)
        said.send([first, again, addresses()])

    process = multiprocessing.get_context("fork")
    hears, says = process.Pipe(duplex=False)
    worker = process.Process(target=in_a_worker, args=(says,))
    worker.start()
    assert hears.poll(60)
    assert hears.recv() == [["web1:9100"], ["web1:9100"], ["web9:9100"]]
    worker.join()
    assert addresses() == ["web1:9100"]
    hostvars["web1"]["monitoring_address"] = "web9"
    assert addresses() == ["web9:9100"]


def test_scrape_jobs_and_filters() -> None:
    variables = {
        "groups": {"all": ["web1"], "node_exporter": ["web1"]},
        "hostvars": {
            "web1": {
                "monitoring_services": [{"name": "shop", "port": 1, "auth": {"password": "p"}}],
                "monitoring_services_cart": [{"name": "cart", "port": 2, "auth": {"password": "q"}}],
            }
        },
    }
    jobs = lookup("scrape_jobs", variables=variables)
    assert [job["name"] for job in jobs] == ["node_exporter", "cart", "shop"]
    files = filter_loader.get("opswatch.monitoring.file_sd").j2_function(jobs)
    assert files["shop.yml"] == [{"targets": ["web1:1"], "labels": {"instance": "web1"}}]
    passwords = filter_loader.get("opswatch.monitoring.service_passwords").j2_function(jobs)
    assert passwords == {"service_cart_password": "q", "service_shop_password": "p"}
