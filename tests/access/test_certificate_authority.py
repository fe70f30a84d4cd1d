"""Certificates that the cluster makes are taken by OpenSSL, for the right purpose only."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509

from minikube_api.server.access.certificates import Authority, KeyPair


def handshake(tmp_path, authority: Authority, serving: KeyPair, host: str, client: KeyPair | None = None) -> dict | None:
    """A TLS handshake in memory; the peer certificate that the server saw. Raises ssl.SSLError."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client_side = ssl.create_default_context(cadata=authority.pair.certificate.decode())
    for pair, context in ((serving, server_side), (client, client_side)):
        if pair is not None:
            path = tmp_path / "pair.pem"
            path.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(path)
    server_side.load_verify_locations(cadata=authority.pair.certificate.decode())
    server_side.verify_mode = ssl.CERT_OPTIONAL
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(a, b, server_side=True)
    peer = client_side.wrap_bio(b, a, server_hostname=host)
    for _ in range(4):
        for side in (peer, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return server.getpeercert()


def test_a_serving_certificate_is_good_for_its_names_and_addresses_only(tmp_path):
    authority = Authority.create()
    serving = authority.issue("kube-apiserver", hosts=["kubernetes.default.svc", "127.0.0.1"], server=True)
    handshake(tmp_path, authority, serving, "kubernetes.default.svc")
    handshake(tmp_path, authority, serving, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, authority, serving, "127.0.0.2")


def test_a_client_certificate_carries_user_and_groups(tmp_path):
    authority = Authority.create()
    serving = authority.issue("server", hosts=["localhost"], server=True)
    client = authority.issue("alice", organizations=["devs", "ops"], client=True)
    peer = handshake(tmp_path, authority, serving, "localhost", client)
    assert peer is not None
    subject = [pair for rdn in peer["subject"] for pair in rdn]
    assert ("commonName", "alice") in subject
    assert [value for key, value in subject if key == "organizationName"] == ["devs", "ops"]


def test_a_serving_certificate_does_not_authenticate_a_client(tmp_path):
    authority = Authority.create()
    serving = authority.issue("server", hosts=["localhost"], server=True)
    with pytest.raises(ssl.SSLError):
        handshake(tmp_path, authority, serving, "localhost", authority.issue("mallory", server=True))


def test_a_stranger_authority_is_not_trusted(tmp_path):
    serving = Authority.create().issue("server", hosts=["localhost"], server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, Authority.create(), serving, "localhost")


def test_no_certificate_outlives_its_authority():
    authority = Authority.create(now=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    late = authority.issue("a", client=True, now=datetime.datetime(2029, 1, 1, tzinfo=datetime.UTC))
    ca = x509.load_pem_x509_certificate(authority.pair.certificate)
    assert x509.load_pem_x509_certificate(late.certificate).not_valid_after_utc == ca.not_valid_after_utc
