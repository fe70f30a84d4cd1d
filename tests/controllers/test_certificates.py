from __future__ import annotations

import base64
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from minikube_api.meta import conditions
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.certificates_v1 import CertificateSigningRequest as Request
from minikube_api.server.access.certificates import Authority
from minikube_py.controllers import certificate_requests

BASE = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
APPROVING, SIGNING, CLEANING = (f"certificatesigningrequest-{x}-controller" for x in ("approving", "signing", "cleaner"))
CLIENT_USAGES = ("digital signature", "client auth")
SERVING_USAGES = ("digital signature", "server auth")


def request(name: str = "system:node:n1", organization: str = "system:nodes", *names: x509.GeneralName) -> bytes:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def create(w, signer: str, pem: bytes, usages: tuple[str, ...], **spec: Any) -> None:
    body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "csr"}}
    body["spec"] = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": list(usages), **spec}
    await w.client.raw.create(BASE, body)


async def approve(w) -> None:
    found = await w.client.raw.get(f"{BASE}/csr")
    found["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "by hand"}]}
    await w.client.raw.update(f"{BASE}/csr/approval", found)


async def get(w) -> Request:
    return await w.client.get(Request, "csr")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def options(authority: Authority) -> dict[str, str]:
    return {"signing_certificate": authority.pair.certificate.decode(), "signing_key": authority.pair.key.decode()}


async def test_a_kubelets_client_certificate_is_approved_and_signed(world, authority):
    async with world(APPROVING, SIGNING, **options(authority)) as w:
        await create(w, certificate_requests.KUBELET_CLIENT, request(), CLIENT_USAGES, expirationSeconds=3600)

        async def signed() -> bytes | None:
            return (await get(w)).status.certificate

        certificate = x509.load_pem_x509_certificate(await w.until(signed))
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pair.certificate))
        assert "system:node:n1" in certificate.subject.rfc4514_string()
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lifetime.total_seconds() == 3600
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
        approved = conditions.find((await get(w)).status.conditions, "Approved")
        assert approved.message == "Auto approving kubelet client certificate after SubjectAccessReview."


async def test_serving_certificates_wait_for_a_persons_approval(world, authority):
    async with world(APPROVING, SIGNING, **options(authority)) as w:
        address = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
        await create(w, certificate_requests.KUBELET_SERVING, request("system:node:n1", "system:nodes", address), SERVING_USAGES)
        await w.quiet()
        assert (await get(w)).status.conditions == ()
        await approve(w)

        async def signed() -> bytes | None:
            return (await get(w)).status.certificate

        certificate = x509.load_pem_x509_certificate(await w.until(signed))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


async def test_an_approved_request_that_breaks_the_signers_rules_fails(world, authority):
    async with world(SIGNING, **options(authority)) as w:
        await create(w, certificate_requests.CLIENT, request("jane", "dev"), SERVING_USAGES)
        await approve(w)

        async def failed() -> Any:
            return conditions.find((await get(w)).status.conditions, "Failed")

        condition = await w.until(failed)
        assert (condition.reason, condition.message) == (
            "SignerValidationFailure",
            "invalid usage for client certificate: server auth",
        )


async def test_other_signers_requests_are_left_alone(world, authority):
    async with world(SIGNING, **options(authority)) as w:
        await create(w, "example.com/mine", request("jane", "dev"), CLIENT_USAGES)
        await approve(w)
        await w.quiet()
        assert [(c.type, c.status) for c in (await get(w)).status.conditions] == [("Approved", "True")]


@pytest.mark.parametrize(
    ("signer", "pem", "usages", "why"),
    [
        pytest.param(
            certificate_requests.KUBELET_CLIENT, request("system:node:a", "x"), CLIENT_USAGES, "organization", id="group"
        ),
        pytest.param(certificate_requests.KUBELET_CLIENT, request("a"), CLIENT_USAGES, "common name", id="name"),
        pytest.param(certificate_requests.KUBELET_CLIENT, request(), SERVING_USAGES, "usages did not match", id="usages"),
        pytest.param(
            certificate_requests.KUBELET_CLIENT,
            request("system:node:a", "system:nodes", x509.DNSName("a")),
            CLIENT_USAGES,
            "DNS subjectAltNames are not allowed",
            id="client-with-host",
        ),
        pytest.param(certificate_requests.KUBELET_SERVING, request(), SERVING_USAGES, "DNS or IP", id="serving-without-host"),
        pytest.param(
            certificate_requests.CLIENT, request(), ("digital signature",), "missing required usage", id="no-client-auth"
        ),
    ],
)
def test_requests_that_signers_refuse(signer, pem, usages, why):
    with pytest.raises(certificate_requests.Refused, match=why):
        certificate_requests.check(signer, certificate_requests.parse(pem), usages)


def test_the_signing_controller_does_not_run_without_an_authority():
    from minikube_py.controllers import Options

    assert SIGNING not in Options().enabled()
    assert SIGNING in Options(signing_certificate="c", signing_key="k").enabled()


@pytest.mark.parametrize(("is_approved", "hours"), [pytest.param(False, 24, id="pending"), pytest.param(True, 1, id="signed")])
async def test_old_requests_are_deleted(world, authority, is_approved, hours):
    async with world(SIGNING, CLEANING, **options(authority)) as w:
        await create(w, certificate_requests.CLIENT, request("jane", "dev"), CLIENT_USAGES)
        if is_approved:
            await approve(w)
        await w.quiet()
        await w.clock.advance(hours * 3600 - 60)
        await w.quiet()
        await get(w)
        await w.clock.advance(61)
        await w.quiet()
        with pytest.raises(NotFound):
            await get(w)
