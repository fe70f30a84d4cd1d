"""The cases of `bench.api` that need something set up: server-side apply, a custom resource with CEL rules, a validating webhook.

Whatever a case configures for the whole cluster (a CustomResourceDefinition, a webhook configuration) it removes again, also when it
fails. The webhook is a small HTTPS server on loopback in the bench's own process, so that the server's CPU stays the server's.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.measuring import Bench

APPLY = "application/apply-patch+yaml"
GROUP = "bench.minikube-py.dev"
_READY_SECONDS = 30.0


def deployment(name: str, image: str) -> dict[str, Any]:
    """What a chart's Deployment looks like: two containers with ports, probes, environment and resources."""

    def container(called: str) -> dict[str, Any]:
        return {
            "name": called,
            "image": image,
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": f"KEY_{n}", "value": f"value-{n}"} for n in range(5)],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        }

    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container("app"), container("sidecar")]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": spec}


async def apply(bench: Bench, namespace: str, count: int, objects: int = 20) -> None:
    """Every patch changes the image, so that each is a write; the objects exist before. No replicas: no pods follow.

    A second case applies one at a time, for the time a client waits without a queue before it.
    """
    base = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    async def one(i: int) -> None:
        name = f"d-{i % objects}"
        body = deployment(name, f"registry.example/app:{i}")
        await bench.call("PATCH", f"{base}/{name}?fieldManager=bench&force=true", body, kind=APPLY)

    for i in range(objects):
        await one(i)
    await bench.measure("apply patch Deployment", count, lambda i: one(i + objects))
    await bench.measure("the same, one at a time", count // 4, lambda i: one(i + objects + count), 1)
    await bench.call("DELETE", base)


#: ten rules over strings, numbers, lists and maps; the object that `widget` makes keeps all of them
RULES = [
    "self.minReplicas <= self.maxReplicas",
    "self.replicas >= self.minReplicas && self.replicas <= self.maxReplicas",
    "self.name.startsWith('w-')",
    "self.name.matches('^[a-z0-9-]+$')",
    "self.ports.all(p, p.port > 0 && p.port < 65536)",
    "self.ports.exists(p, p.name == 'http')",
    "size(self.ports.map(p, p.name)) == size(self.ports)",
    "!has(self.options.debug) || self.options.debug in ['on', 'off']",
    "self.options.all(k, size(k) <= 20)",
    "self.mode == 'fixed' ? self.replicas == self.minReplicas : true",
]


def definition() -> dict[str, Any]:
    """A CRD whose `spec` has the ten rules, with the bounds that Kubernetes' cost estimate asks for."""
    text = {"type": "string", "maxLength": 64}
    number = {"type": "integer"}
    port = {"type": "object", "required": ["name", "port"], "properties": {"name": text, "port": number}}
    spec = {
        "type": "object",
        "required": ["name", "replicas", "minReplicas", "maxReplicas", "mode", "ports", "options"],
        "properties": {
            "name": text,
            "mode": {"type": "string", "enum": ["fixed", "free"]},
            "replicas": number,
            "minReplicas": number,
            "maxReplicas": number,
            "ports": {"type": "array", "maxItems": 16, "items": port},
            "options": {"type": "object", "maxProperties": 16, "additionalProperties": text},
        },
        "x-kubernetes-validations": [{"rule": rule, "message": f"rule {n} is broken"} for n, rule in enumerate(RULES)],
    }
    schema = {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def widget(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}, {"name": "https", "port": 443}, {"name": "metrics", "port": 9090}]
    spec = {
        "name": name,
        "mode": "fixed",
        "replicas": 2,
        "minReplicas": 2,
        "maxReplicas": 5,
        "ports": ports,
        "options": {"debug": "off", "level": "info"},
    }
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def custom(bench: Bench, namespace: str, count: int) -> None:
    """Creates of a custom resource with ten rules; before them one that breaks a rule must be refused."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    one = f"{definitions}/widgets.{GROUP}"
    await bench.call("POST", definitions, definition())
    try:
        await _established(bench, one)
        base = f"/apis/{GROUP}/v1/namespaces/{namespace}/widgets"
        wrong = widget("w-wrong")
        wrong["spec"]["minReplicas"] = 9
        answer = await bench.call("POST", base, wrong, ok=(422,))
        if b"rule 0 is broken" not in answer:
            raise RuntimeError(f"the rules are not in force: {answer[:300]!r}")
        await bench.measure("create custom resource, 10 CEL rules", count, lambda i: bench.call("POST", base, widget(f"w-{i}")))
    finally:
        await bench.call("DELETE", one)


async def _established(bench: Bench, path: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        tree = json.loads(await bench.call("GET", path))
        conditions = tree.get("status", {}).get("conditions") or []
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is not established: {conditions}")
        await asyncio.sleep(0.02)


def certificate() -> tuple[str, str]:
    """(certificate, key) in PEM, self-signed for 127.0.0.1, good for a day; the certificate is its own caBundle."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench-webhook")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


class Webhook:
    """Lets everything pass and counts; `url` and `bundle` are for the configuration."""

    def __init__(self) -> None:
        self.reviews = 0
        self.url = ""
        self.bundle = ""

    async def _review(self, request: web.BaseRequest) -> web.Response:
        review = json.loads(await request.read())
        self.reviews += 1
        review["response"] = {"uid": review.pop("request")["uid"], "allowed": True}
        return web.Response(body=json.dumps(review).encode(), content_type="application/json")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Webhook]:
        pem, key = certificate()
        self.bundle = base64.b64encode(pem.encode()).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            both = Path(directory, "both")
            both.touch(mode=0o600)
            both.write_text(pem + key)
            context.load_cert_chain(both)
        runner = web.ServerRunner(web.Server(self._review, access_log=None))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}/review"
            yield self
        finally:
            await runner.cleanup()


def configuration(name: str, namespace: str, webhook: Webhook) -> dict[str, Any]:
    """Sends creates of ConfigMaps in the namespace, and nothing else, to the webhook."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
        "operations": ["CREATE"],
        "scope": "Namespaced",
    }
    hook = {
        "name": f"hook.{GROUP}",
        "clientConfig": {"url": webhook.url, "caBundle": webhook.bundle},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 10,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }


async def webhook(bench: Bench, namespace: str, count: int) -> None:
    """Creates that each wait for the webhook. The bench is client and webhook in one process: its CPU counts into the rate."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    name = f"bench-{uuid.uuid4().hex[:8]}"
    data = {"key": "v" * 500}
    async with Webhook().served() as hook:
        await bench.call("POST", configurations, configuration(name, namespace, hook))
        try:
            await _in_force(bench, maps, hook)
            seen = hook.reviews
            await bench.measure(
                "create ConfigMap, validating webhook",
                count,
                lambda i: bench.call("POST", maps, {"metadata": {"name": f"h-{i}"}, "data": data}),
            )
            if hook.reviews - seen != count:
                raise RuntimeError(f"the webhook was asked {hook.reviews - seen} times for {count} creates")
        finally:
            await bench.call("DELETE", f"{configurations}/{name}")


async def _in_force(bench: Bench, maps: str, hook: Webhook) -> None:
    """Until a dry create reaches the webhook: a kube-apiserver takes new configurations a moment later."""
    deadline = time.monotonic() + _READY_SECONDS
    while not hook.reviews:
        if time.monotonic() > deadline:
            raise TimeoutError("no create reached the webhook")
        await bench.call("POST", f"{maps}?dryRun=All", {"metadata": {"name": "h-probe"}})
        await asyncio.sleep(0.02)
