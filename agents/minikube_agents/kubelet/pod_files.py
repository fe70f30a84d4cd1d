"""/etc/hosts, resolv.conf settings and the like that the kubelet manages for a pod. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from minikube_agents.kubelet import pods
from minikube_agents.runtime.contract import DNSConfig
from minikube_api.schema.typed import core_v1 as v1

#: glibc's limits, which Kubernetes validates too
MAX_NAMESERVERS, MAX_SEARCHES = 3, 32


@dataclass(frozen=True, slots=True)
class ClusterDNS:
    servers: tuple[str, ...]
    domain: str


def etc_hosts(pod: v1.Pod, pod_ips: tuple[str, ...], hostname: str, domain: str) -> str:
    """The managed file of a pod with its own network (KEP: hostAliases)."""
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    full = domain_name(pod, hostname, domain)
    lines += [f"{ip}\t{full}\t{hostname}" if full else f"{ip}\t{hostname}" for ip in pod_ips]
    return "\n".join(lines) + "\n" + _aliases(pod)


def host_network_hosts(pod: v1.Pod, nodes_file: str) -> str:
    """hostNetwork pods get the node's own file with the aliases added."""
    return "# Kubernetes-managed hosts file (host network).\n" + nodes_file + _aliases(pod)


def _aliases(pod: v1.Pod) -> str:
    if not pod.spec.hostAliases:
        return ""
    lines = [f"{alias.ip}\t{chr(9).join(alias.hostnames)}" for alias in pod.spec.hostAliases]
    return "\n# Entries added by HostAliases.\n" + "\n".join(lines) + "\n"


def domain_name(pod: v1.Pod, hostname: str, cluster_domain: str) -> str:
    """`HOSTNAME.SUBDOMAIN.NAMESPACE.svc.DOMAIN` of a pod with a subdomain, else ""."""
    if not pod.spec.subdomain:
        return ""
    return f"{hostname}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def dns_config(pod: v1.Pod, cluster: ClusterDNS, node: DNSConfig) -> DNSConfig:
    """`dnsPolicy` and `dnsConfig`. `node`: what the node itself uses."""
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    uses_cluster = bool(cluster.servers) and (
        policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pods.host_network(pod))
    )
    if policy == "None":
        base = DNSConfig()
    elif uses_cluster:
        space, domain = pod.metadata.namespace, cluster.domain
        own = (f"{space}.svc.{domain}", f"svc.{domain}", domain)
        base = DNSConfig(servers=cluster.servers, searches=_unique((*own, *node.searches)), options=("ndots:5",))
    else:
        base = node
    extra = pod.spec.dnsConfig
    if extra is None:
        return _cut(base)
    options = {name.partition(":")[0]: name for name in base.options}
    for option in extra.options:
        name = option.name or ""
        options[name] = f"{name}:{option.value}" if option.value else name
    return _cut(
        DNSConfig(
            servers=_unique((*base.servers, *extra.nameservers)),
            searches=_unique((*base.searches, *extra.searches)),
            options=tuple(options.values()),
        )
    )


def _unique(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _cut(config: DNSConfig) -> DNSConfig:
    return DNSConfig(servers=config.servers[:MAX_NAMESERVERS], searches=config.searches[:MAX_SEARCHES], options=config.options)


def parse_resolv_conf(text: str) -> DNSConfig:
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        match words[0]:
            case "nameserver" if len(words) > 1:
                servers.append(words[1])
            case "search" | "domain":
                searches = tuple(word.rstrip(".") or "." for word in words[1:])
            case "options":
                options = tuple(words[1:])
    return DNSConfig(servers=tuple(servers), searches=searches, options=options)
