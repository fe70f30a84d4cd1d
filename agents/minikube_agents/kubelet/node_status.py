"""What a Node says of itself: capacity, allocatable, conditions, addresses, system facts. Pure over figures read before (`read_machine`)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.runtime.contract import Image
from minikube_api.meta import quantities, times

Tree = dict[str, Any]

#: the kubelet's default eviction thresholds
MEMORY_AVAILABLE = 100 * 1024 * 1024
DISK_AVAILABLE = 0.10
PIDS_AVAILABLE = 0.10
MAX_IMAGES = 50
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Figures of the machine; bytes."""

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int
    pids_available: float = 1.0
    boot_id: str = ""
    machine_id: str = ""
    kernel: str = ""
    os_image: str = ""
    architecture: str = "amd64"


def read_machine(root: Path) -> Machine:
    import psutil

    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(root))
    return Machine(
        cpus=psutil.cpu_count() or 1,
        memory=memory.total,
        memory_available=memory.available,
        disk=disk.total,
        disk_available=disk.free,
        pids_available=_pids_available(),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        machine_id=_read("/etc/machine-id"),
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.is_file() else ""


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def _pids_available() -> float:
    """Share of process ids that are free, by /proc/loadavg and kernel.pid_max."""
    used, limit = _read("/proc/loadavg").split()[3:4], _read("/proc/sys/kernel/pid_max")
    if not used or not limit:
        return 1.0
    return 1 - int(used[0].split("/")[1]) / int(limit)


def capacity(machine: Machine, options: KubeletOptions) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(options.max_pods),
        **options.capacity,
    }


def allocatable(full: Mapping[str, str], options: KubeletOptions) -> dict[str, str]:
    """Capacity without what is reserved; the eviction threshold is taken from memory, a tenth from the disk."""
    left = dict(full)
    for resource, text in options.reserved.items():
        left[resource] = str(quantities.parse(left[resource]) - quantities.parse(text))
    if "memory" not in options.capacity:
        left["memory"] = f"{(quantities.parse(left['memory']).value() - MEMORY_AVAILABLE) // 1024}Ki"
    if "ephemeral-storage" not in options.capacity:
        left["ephemeral-storage"] = str(int(quantities.parse(left["ephemeral-storage"]).value() * (1 - DISK_AVAILABLE)))
    return left


def conditions(machine: Machine, *, runtime_error: str = "") -> list[Tree]:
    """Without times; `merge` adds them."""
    low_memory = machine.memory_available < MEMORY_AVAILABLE
    low_disk = machine.disk_available < machine.disk * DISK_AVAILABLE
    low_pids = machine.pids_available < PIDS_AVAILABLE
    return [
        _pressure("MemoryPressure", low_memory, "KubeletHasSufficientMemory", "kubelet has sufficient memory available",
                  "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        _pressure("DiskPressure", low_disk, "KubeletHasNoDiskPressure", "kubelet has no disk pressure",
                  "KubeletHasDiskPressure", "kubelet has disk pressure"),
        _pressure("PIDPressure", low_pids, "KubeletHasSufficientPID", "kubelet has sufficient PID available",
                  "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": runtime_error}
        if runtime_error
        else {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
    ]  # fmt: skip


def _pressure(kind: str, pressed: bool, fine: str, fine_text: str, bad: str, bad_text: str) -> Tree:
    if pressed:
        return {"type": kind, "status": "True", "reason": bad, "message": bad_text}
    return {"type": kind, "status": "False", "reason": fine, "message": fine_text}


def changes(before: Mapping[str, Tree], after: list[Tree]) -> list[str]:
    """Event reasons of conditions whose status is new: `NodeReady`, `NodeHasSufficientMemory`..."""
    words = {
        "MemoryPressure": ("NodeHasSufficientMemory", "NodeHasInsufficientMemory"),
        "DiskPressure": ("NodeHasNoDiskPressure", "NodeHasDiskPressure"),
        "PIDPressure": ("NodeHasSufficientPID", "NodeHasInsufficientPID"),
        "Ready": ("NodeNotReady", "NodeReady"),
    }
    return [
        words[condition["type"]][condition["status"] == "True"]
        for condition in after
        if before.get(condition["type"], {}).get("status") != condition["status"]
    ]


def merge(conditions: list[Tree], before: Mapping[str, Tree], now: float) -> list[Tree]:
    """Adds heartbeat and transition times; a transition moves only with the status."""
    stamp = times.format_time(now)
    merged: list[Tree] = []
    for condition in conditions:
        old = before.get(condition["type"])
        since = old["lastTransitionTime"] if old is not None and old["status"] == condition["status"] else stamp
        merged.append({**condition, "lastHeartbeatTime": stamp, "lastTransitionTime": since})
    return merged


def images(found: list[Image]) -> list[Tree]:
    """The biggest fifty."""
    biggest = sorted(found, key=lambda image: image.size, reverse=True)[:MAX_IMAGES]
    return [{"names": [*image.digests, *image.tags], "sizeBytes": image.size} for image in biggest]


def labels(options: KubeletOptions, machine: Machine) -> dict[str, str]:
    hostname = options.hostname or options.node_name
    return {
        "kubernetes.io/hostname": hostname,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
        **options.labels,
    }


def node_tree(options: KubeletOptions, machine: Machine, status: Tree) -> Tree:
    """The Node to register."""
    spec: Tree = {"taints": [dict(taint) for taint in options.taints]} if options.taints else {}
    if options.pod_cidr:
        spec |= {"podCIDR": options.pod_cidr, "podCIDRs": [options.pod_cidr]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": options.node_name,
            "labels": labels(options, machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": status,
    }


def node_status(
    options: KubeletOptions,
    machine: Machine,
    *,
    now: float,
    port: int,
    runtime_name: str,
    runtime_version: str,
    found_images: list[Image],
    runtime_error: str = "",
    before: Mapping[str, Tree],
) -> Tree:
    full = capacity(machine, options)
    status: Tree = {
        "addresses": [
            {"type": "InternalIP", "address": options.node_ip},
            {"type": "Hostname", "address": options.hostname or options.node_name},
        ],
        "capacity": full,
        "allocatable": allocatable(full, options),
        "conditions": merge(conditions(machine, runtime_error=runtime_error), before, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": runtime_version if "://" in runtime_version else f"{runtime_name}://{runtime_version}",
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": options.version,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.machine_id,
        },
    }
    if found_images:
        status["images"] = images(found_images)
    return status
