"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may move a CertificateSigningRequest along."""

from __future__ import annotations

import base64
import binascii

from minikube_api.server.admission.reading import Plugin, forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Attributes, Authorizer, Operation

GROUP = "certificates.k8s.io"
KUBE_APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client"


class _SignerPermission(Plugin):
    operations: frozenset[Operation] = frozenset({"UPDATE"})
    subresource = ""
    verb = ""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def concerns(self, attributes: AdmissionAttributes) -> bool:
        return attributes.subresource == self.subresource

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource, old = attributes.resource, attributes.old
        if resource.group != GROUP or resource.plural != "certificatesigningrequests" or old is None:
            return
        if not self.concerns(attributes):
            return
        signer = (old.get("spec") or {}).get("signerName", "")
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            asked = Attributes(attributes.user, self.verb, group=GROUP, version="*", resource="signers", name=name)
            if (await self._authorizer.authorize(asked)).allowed:
                return
        raise forbidden(attributes, f'user not permitted to {self.verb} requests with signerName "{signer}"')


class CertificateApproval(_SignerPermission):
    name = "CertificateApproval"
    subresource = "approval"
    verb = "approve"


class CertificateSigning(_SignerPermission):
    name = "CertificateSigning"
    subresource = "status"
    verb = "sign"

    def concerns(self, attributes: AdmissionAttributes) -> bool:
        """Only what sets the certificate or a failure; other status may be written by whoever may write it."""
        if attributes.subresource != "status":
            return False
        new, old = ((tree or {}).get("status") or {} for tree in (attributes.obj, attributes.old))
        return new.get("certificate") != old.get("certificate") or _failed(new) != _failed(old)


def _failed(status: Object) -> list[Object]:
    return [c for c in status.get("conditions") or () if c.get("type") == "Failed"]


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource, obj = attributes.resource, attributes.obj
        if resource.group != GROUP or resource.plural != "certificatesigningrequests" or obj is None:
            return
        spec = obj.get("spec") or {}
        if attributes.subresource or spec.get("signerName") != KUBE_APISERVER_CLIENT:
            return
        groups = _organizations(spec.get("request", ""))
        if groups is None:
            raise forbidden(attributes, "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST")
        if "system:masters" in groups:
            raise forbidden(
                attributes,
                f"use of {KUBE_APISERVER_CLIENT} signer with system:masters group is not allowed",
            )


def _organizations(request: str) -> list[str] | None:
    """The organizations that a PEM request (base64) asks for; None when it is none."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_pem_x509_csr(base64.b64decode(request))
    except (ValueError, binascii.Error):
        return None
    return [str(a.value) for a in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
