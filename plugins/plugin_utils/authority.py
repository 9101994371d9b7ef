# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A certificate authority of this inventory's own, kept with its other secrets on the control node."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from ansible.errors import AnsibleError

from .secrets_dir import AUTHORITY, SecretsDir

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    MISSING = None
except ImportError as error:  # ansible-core itself depends on it, but a distribution may split it off
    MISSING = error

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
RENEW_BEFORE = datetime.timedelta(days=30)


def certificate(folder: SecretsDir, host: str, names: t.Sequence[str]) -> dict[str, str]:
    """The files C(tls.crt), C(tls.key) and C(ca.crt) of a host.

    The certificate is kept, and made again when it nears its end, when its names changed, or with a new authority.
    """
    if MISSING:
        raise AnsibleError(f"monitoring_tls needs the Python package cryptography on the control node: {MISSING}")
    authority = folder.keep(AUTHORITY, _make_authority, fits=_lasts)
    ca_key, ca = _load(authority)

    def make() -> str:
        return _make_certificate(ca_key, ca, host, names)

    def fits(kept: str) -> bool:
        _key, mine = _load(kept)
        wanted = x509.SubjectAlternativeName([_name(name) for name in names])
        named = mine.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == wanted
        return named and _lasts(kept) and _signed_by(mine, ca)

    kept = folder.keep(f"tls_{host}", make, fits=fits)
    key, mine = _load(kept)
    return {"tls.crt": _pem(mine), "tls.key": _pem_key(key), "ca.crt": _pem(ca)}


def _make_authority() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opswatch monitoring authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    built = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem_key(key) + _pem(built)


def _make_certificate(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, host: str, names: t.Sequence[str]
) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    built = (
        _builder(subject, ca.subject, key.public_key(), CERTIFICATE_DAYS)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem_key(key) + _pem(built)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load(text: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
        return t.cast("ec.EllipticCurvePrivateKey", key), x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise AnsibleError(
            f"A kept certificate is damaged: {error}. What to do: remove the tls_* files from monitoring_secrets_dir."
        ) from error


def _lasts(text: str) -> bool:
    _key, mine = _load(text)
    return mine.not_valid_after_utc - RENEW_BEFORE > datetime.datetime.now(datetime.UTC)


def _signed_by(mine: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        mine.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(one: x509.Certificate) -> str:
    return one.public_bytes(serialization.Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
