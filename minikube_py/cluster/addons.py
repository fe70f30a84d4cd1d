"""What kubeadm puts into a new cluster beyond the API server's own bootstrap objects, and DNS needs: applied at every start.

Everything is server-side applied as `minikube-py`, so that what a user adds beside it stays.
"""

from __future__ import annotations

from typing import Any

from minikube_api.client.client import Client
from minikube_api.meta.errors import AlreadyExists

FIELD_MANAGER = "minikube-py"
DNS_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
DNS_PORTS = (("dns", "UDP", 53), ("dns-tcp", "TCP", 53))


def dns_service(cluster_ip: str) -> dict[str, Any]:
    """The kube-dns Service; its endpoints are written by hand, since DNS runs beside the nodes, not in a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": DNS_LABELS},
        "spec": {
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "ports": [{"name": n, "protocol": p, "port": port, "targetPort": port} for n, p, port in DNS_PORTS],
        },
    }


def dns_slice(addresses: dict[str, str]) -> dict[str, Any]:
    """The EndpointSlice of kube-dns; `addresses` are node name -> address where DNS answers on port 53."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-nodes",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": FIELD_MANAGER},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [ip],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": node,
                "hints": {"forNodes": [{"name": node}]},
            }
            for node, ip in addresses.items()
        ],
        "ports": [{"name": n, "protocol": p, "port": port} for n, p, port in DNS_PORTS],
    }


def dns_access() -> list[dict[str, Any]]:
    """What CoreDNS may read, as kubeadm grants it."""
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    api = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "coredns", "namespace": "kube-system"}},
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        },
    ]


STORAGE_CLASS: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "minikube.dev/local-path",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


async def install_storage_class(admin: Client) -> None:
    """The default class, provisioned by the controllers. One that is there is left alone: most of its fields can't change anyway, and who
    took away its being the default meant it.
    """
    try:
        await admin.raw.create("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
    except AlreadyExists:
        return


_PATHS = {
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


async def install(admin: Client, objects: list[dict[str, Any]]) -> None:
    """Apply the objects, in order."""
    for obj in objects:
        metadata = obj["metadata"]
        path = f"{_PATHS[obj['kind']].format(namespace=metadata.get('namespace', ''))}/{metadata['name']}"
        await admin.raw.patch(path, obj, type="apply", query={"fieldManager": FIELD_MANAGER, "force": "true"})
