"""The node agent: pod workers, probes, volumes, status, heartbeat, the kubelet's HTTPS server.

Neighbours: `minikube_agents.runtime` (its contract below), `minikube_api.client` (its way to the API). It never imports the control plane.
"""

from minikube_agents.kubelet.kubelet import Kubelet
from minikube_agents.kubelet.options import KubeletOptions

__all__ = ["Kubelet", "KubeletOptions"]
