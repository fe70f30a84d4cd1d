"""Controllers of CertificateSigningRequests: approve kubelets' client certificates, sign for Kubernetes' own signers, delete old requests.

Source: pkg/controller/certificates (approver, signer, cleaner). As in Kubernetes, kubelets' serving certificates are signed here but approved by
somebody else, since nothing here knows which addresses are a node's.
"""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec.structs import replace

from minikube_api.meta import conditions, times
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from minikube_api.schema.typed.certificates_v1 import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestStatus,
)
from minikube_py.controllers.runner import Controller, Key, Result, TerminalError

#: Seconds that requests are kept: decided ones since the decision, undecided ones since their creation.
DECIDED_AGE: Final = 3600.0
PENDING_AGE: Final = 86400.0
#: Kubernetes' names (certificate_requests imports x509, which idle clusters don't need)
_KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"


def _is(request: CertificateSigningRequest, type: str) -> bool:
    return conditions.is_true(request.status.conditions, type)


class _CertificateController(Controller):
    identity = "certificate-controller"
    component: ClassVar[str] = "certificate-controller"

    def setup(self) -> None:
        self._requests = self.informers.informer(CertificateSigningRequest)
        self._requests.on_change(self.enqueue)

    def _condition(self, type: str, reason: str, message: str) -> CertificateSigningRequestCondition:
        now = times.now(self.clock)
        return CertificateSigningRequestCondition(
            type=type, status="True", reason=reason, message=message, lastUpdateTime=now, lastTransitionTime=now
        )


class ApprovingController(_CertificateController):
    """Approves a kubelet's request for a client certificate when its requester may have it by RBAC."""

    name = "certificatesigningrequest-approving-controller"

    async def reconcile(self, key: Key) -> Result | None:
        request = self._requests.get(*key)
        if request is None or request.status.certificate or _is(request, "Approved") or _is(request, "Denied"):
            return None
        if request.spec.signerName != _KUBELET_CLIENT:
            return None
        from minikube_py.controllers import certificate_requests

        try:
            parsed = certificate_requests.parse(request.spec.request)
        except ValueError as error:
            raise TerminalError(f'unable to parse csr "{key}": {error}') from error
        try:
            certificate_requests.check(_KUBELET_CLIENT, parsed, request.spec.usages)
        except certificate_requests.Refused:
            return None
        is_self = request.spec.username == certificate_requests.common_name(parsed)
        for subresource in ("selfnodeclient", "nodeclient") if is_self else ("nodeclient",):
            if await self._may(request, subresource):
                word = "self kubelet" if subresource == "selfnodeclient" else "kubelet"
                await self._approve(request, f"Auto approving {word} client certificate after SubjectAccessReview.")
                return None
        return None

    async def _may(self, request: CertificateSigningRequest, subresource: str) -> bool:
        spec = request.spec
        asked = ResourceAttributes(
            group="certificates.k8s.io",
            resource="certificatesigningrequests",
            verb="create",
            version="*",
            subresource=subresource,
        )
        review = SubjectAccessReview(
            spec=SubjectAccessReviewSpec(
                user=spec.username, uid=spec.uid, groups=spec.groups, extra=spec.extra, resourceAttributes=asked
            )
        )
        return (await self.client.create(review)).status.allowed

    async def _approve(self, request: CertificateSigningRequest, message: str) -> None:
        approved = self._condition("Approved", "AutoApproved", message)
        status = replace(request.status, conditions=(*request.status.conditions, approved))
        await self.client.update(replace(request, status=status), subresource="approval")


class SigningController(_CertificateController):
    """Signs approved requests with the cluster's authority (`Options.signing_certificate`, `signing_key`)."""

    name = "certificatesigningrequest-signing-controller"

    async def reconcile(self, key: Key) -> Result | None:
        request = self._requests.get(*key)
        if request is None or request.status.certificate or not _is(request, "Approved"):
            return None
        if _is(request, "Denied") or _is(request, "Failed"):
            return None
        from minikube_py.controllers import certificate_requests

        spec = request.spec
        if spec.signerName not in certificate_requests.SIGNERS:
            return None
        try:
            parsed = certificate_requests.parse(spec.request)
        except ValueError as error:
            raise TerminalError(f'unable to parse csr "{key}": {error}') from error
        try:
            certificate_requests.check(spec.signerName, parsed, spec.usages)
        except certificate_requests.Refused as error:
            failed = self._condition("Failed", "SignerValidationFailure", str(error))
            await self._write(request, replace(request.status, conditions=(*request.status.conditions, failed)))
            return None
        certificate = certificate_requests.sign(
            self.options.signing_certificate,
            self.options.signing_key,
            parsed,
            spec.usages,
            certificate_requests.duration(spec.expirationSeconds),
            self.clock.time(),
        )
        await self._write(request, replace(request.status, certificate=certificate))
        return None

    async def _write(self, request: CertificateSigningRequest, status: CertificateSigningRequestStatus) -> None:
        await self.client.update_status(replace(request, status=status))


class CleanerController(_CertificateController):
    """Deletes requests that nobody needs any more."""

    name = "certificatesigningrequest-cleaner-controller"
    workers = 1

    async def reconcile(self, key: Key) -> Result | None:
        request = self._requests.get(*key)
        if request is None or request.metadata.deletionTimestamp is not None:
            return None
        left = expires_in(request, self.clock.time())
        if left is None:
            return None
        if left > 0:
            return Result(left)
        try:
            await self.client.delete(CertificateSigningRequest, key.name, uid=request.metadata.uid)
        except NotFound:
            pass  # somebody was quicker
        return None


def expires_in(request: CertificateSigningRequest, now: float) -> float | None:
    """Seconds until the request is deleted, 0 or less: now, None: it waits for its signer. Pure."""
    if not request.status.conditions:
        return times.parse(request.metadata.creationTimestamp or times.format_time(now)) + PENDING_AGE - now
    ends: list[float] = []
    if request.status.certificate:
        from minikube_py.controllers import certificate_requests

        ends.append(certificate_requests.expiry(request.status.certificate))
    for condition in request.status.conditions:
        if condition.lastUpdateTime and (condition.type != "Approved" or request.status.certificate):
            ends.append(times.parse(condition.lastUpdateTime) + DECIDED_AGE)
    return min(ends) - now if ends else None
