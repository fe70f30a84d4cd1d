"""Service. Addresses and ports are allocated by the server; what is checked here is the object itself.

Source: pkg/apis/core/v1/defaults.go, ValidateService(Update), pkg/registry/core/service, pkg/api/service/warnings.go.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.addresses import cidr_warnings, ip_warnings
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.objectmeta import label_problems
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, set_default

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_DAY = 86400
KUBELET_PORT = 10250
_TOPOLOGY = "service.kubernetes.io/topology-mode"
_OLD_HINTS = "service.kubernetes.io/topology-aware-hints"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
NONE = "None"


def external_traffic(spec: Object) -> bool:
    """Whether traffic from outside reaches the service's own address or ports."""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def needs_cluster_ip(spec: Object) -> bool:
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


class ServiceStrategy(KindStrategy):
    whole_checks = 1
    name_problems = staticmethod(names.is_dns_label)
    empty_status = {"loadBalancer": {}}

    def defaults(self, obj: Object) -> None:
        spec = obj.get("spec")
        if spec is None:
            spec = obj["spec"] = {}
        if not spec.get("sessionAffinity"):
            spec["sessionAffinity"] = NONE
        if spec["sessionAffinity"] == NONE:
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            config = spec.get("sessionAffinityConfig") or {}
            client = config.get("clientIP") or {}
            if client.get("timeoutSeconds") is None:
                spec["sessionAffinityConfig"] = {**config, "clientIP": {**client, "timeoutSeconds": 10800}}
        if not spec.get("type"):
            spec["type"] = "ClusterIP"
        for port in spec.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port")
        if external_traffic(spec) and not spec.get("externalTrafficPolicy"):
            spec["externalTrafficPolicy"] = "Cluster"
        if needs_cluster_ip(spec):
            set_default(spec, "internalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            set_default(spec, "allocateLoadBalancerNodePorts", True)
        for point in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if point.get("ip") and point.get("ipMode") is None:
                point["ipMode"] = "VIP"

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        normalize_cluster_ips(obj["spec"], None)

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        if ctx.subresource == "status":
            keep(obj, old, "spec")
            return
        keep(obj, old, "status")
        if obj["spec"].get("type") != "LoadBalancer" and (obj.get("status") or {}).get("loadBalancer"):
            obj["status"] = {**obj["status"], "loadBalancer": {}}
        drop_for_type(obj["spec"], old["spec"])

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, annotations = obj.get("spec") or {}, obj["metadata"].get("annotations") or {}
        return _annotations(annotations, spec) + service(spec)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return _address_changes(obj["spec"], old["spec"])

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        path = "status.loadBalancer.ingress"
        if points and (obj.get("spec") or {}).get("type") != "LoadBalancer":
            return [err.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
        return load_balancer(points, path)

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        return [] if ctx.subresource else service_warnings(obj)


def normalize_cluster_ips(spec: Object, old: Object | None) -> None:
    """clusterIPs follow clusterIP, for clients that know the old field alone; who gives the new one must give both."""
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif old is not None and spec.get("clusterIPs") == old.get("clusterIPs") and spec.get("clusterIP") != old.get("clusterIP"):
        # clients that know only the old field change or clear it alone
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        else:
            spec.pop("clusterIPs", None)


def drop_for_type(spec: Object, old: Object) -> None:
    """patchAllocatedValues and dropTypeDependentFields: allocated values stay when left out, and go with a change of type."""
    if needs_cluster_ip(spec) and needs_cluster_ip(old):
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                keep(spec, old, field)
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(field) is None:
                keep(spec, old, field)
    normalize_cluster_ips(spec, old)
    kind, was = spec.get("type"), old.get("type")
    if kind in ("NodePort", "LoadBalancer") and was in ("NodePort", "LoadBalancer"):
        _keep_node_ports(spec, old)
    if needs_health_check(spec) and needs_health_check(old) and not spec.get("healthCheckNodePort"):
        keep(spec, old, "healthCheckNodePort")
    if kind == "ExternalName" and was != "ExternalName":
        _drop_same(spec, old, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    if kind in ("ClusterIP", "ExternalName") and was in ("NodePort", "LoadBalancer"):
        before = {port.get("nodePort") for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in before:
                port.pop("nodePort", None)
    if not needs_health_check(spec) and needs_health_check(old):
        _drop_same(spec, old, "healthCheckNodePort")
    if kind != "LoadBalancer" and was == "LoadBalancer":
        _drop_same(spec, old, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if not external_traffic(spec) and external_traffic(old):
        _drop_same(spec, old, "externalTrafficPolicy")
    if kind == "ExternalName" and was != "ExternalName":
        _drop_same(spec, old, "internalTrafficPolicy")


def _drop_same(spec: Object, old: Object, *fields: str) -> None:
    for field in fields:
        if spec.get(field) == old.get(field):
            spec.pop(field, None)


def _keep_node_ports(spec: Object, old: Object) -> None:
    known = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in old.get("ports") or ()}
    used = {p.get("nodePort") for p in spec.get("ports") or ()}
    for port in spec.get("ports") or ():
        before = known.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and before and before not in used:
            port["nodePort"] = before


def service(spec: Object) -> Errors:
    kind = spec.get("type")
    errors: Errors = []
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == NONE
    if not ports and not headless and kind != "ExternalName":
        errors.append(err.required("spec.ports"))
    if kind == "LoadBalancer":
        detail = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
        exposed = [i for i, port in enumerate(ports) if port.get("port") == KUBELET_PORT]
        errors += [err.invalid(f"spec.ports[{i}]", KUBELET_PORT, detail) for i in exposed]
    if kind == "LoadBalancer" and headless:
        errors.append(err.invalid("spec.clusterIPs[0]", NONE, "may not be set to 'None' for LoadBalancer services"))
    if kind == "NodePort" and headless:
        errors.append(err.invalid("spec.clusterIPs[0]", NONE, "may not be set to 'None' for NodePort services"))
    if kind == "ExternalName":
        errors += _external_name(spec)
    errors += _ports(ports, spec)
    if spec.get("selector"):
        errors += label_problems(spec["selector"], "spec.selector")
    errors += _session_affinity(spec)
    errors += address_problems(spec)
    for i, address in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{i}]"
        problems = checks.ip(address, path)
        errors += problems or special_ip(address, path)
    if not kind:
        errors.append(err.required("spec.type"))
    else:
        errors += one_of(kind, "spec.type", _TYPES)
    return errors + _traffic(spec) + _load_balancer_fields(spec)


def _external_name(spec: Object) -> Errors:
    errors: Errors = []
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            errors.append(err.forbidden(f"spec.{field}", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        return errors + checks.named(name, "spec.externalName", names.dns1123_subdomain)
    return [*errors, err.required("spec.externalName")]


def _ports(ports: list[Object], spec: Object) -> Errors:
    errors: Errors = []
    kind = spec.get("type")
    seen_names: set[str] = set()
    seen_ports: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        at = f"spec.ports[{i}]"
        errors += _port(port, at, len(ports) > 1, spec.get("clusterIP") == NONE, seen_names)
        if port.get("nodePort") and kind == "ClusterIP":
            errors.append(err.forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        key = (port.get("protocol"), port.get("port"))
        if key in seen_ports:
            errors.append(err.duplicate(at, _go_port(port)))
        seen_ports.add(key)
    return errors + _node_port_conflicts(ports)


def _go_port(port: Object) -> Object:
    """The internal ServicePort that a duplicate error shows: protocol and number only."""
    return {
        "Name": "", "Protocol": port.get("protocol"), "AppProtocol": None, "Port": port.get("port"), "TargetPort": 0, "NodePort": 0,
    }  # fmt: skip


def _node_port_conflicts(ports: list[Object]) -> Errors:
    errors: Errors = []
    seen: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        if not port.get("nodePort"):
            continue
        key = (port.get("protocol"), port["nodePort"])
        if key in seen:
            errors.append(err.duplicate(f"spec.ports[{i}].nodePort", port["nodePort"]))
        seen.add(key)
    return errors


def _port(port: Object, path: str, name_required: bool, headless: bool, seen: set[str]) -> Errors:
    errors: Errors = []
    name = port.get("name") or ""
    if name_required and not name:
        errors.append(err.required(f"{path}.name"))
    elif name:
        errors += checks.named(name, f"{path}.name", names.dns1123_label)
        if name in seen:
            errors.append(err.duplicate(f"{path}.name", name))
        seen.add(name)
    errors += checks.port(port.get("port") or 0, f"{path}.port")
    protocol = port.get("protocol")
    errors += one_of(protocol, f"{path}.protocol", _PROTOCOLS) if protocol else [err.required(f"{path}.protocol")]
    errors += checks.port_or_name(port.get("targetPort"), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        errors += checks.label_name(port["appProtocol"], f"{path}.appProtocol")
    return errors


def _session_affinity(spec: Object) -> Errors:
    errors: Errors = []
    affinity = spec.get("sessionAffinity")
    path = "spec.sessionAffinity"
    errors += one_of(affinity, path, ("ClientIP", NONE)) if affinity else [err.required(path)]
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
        at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        if seconds is None:
            errors.append(err.required(at))
        elif not 0 < seconds <= _DAY:
            errors.append(err.invalid(at, seconds, f"must be greater than 0 and less than {_DAY}"))
    elif affinity == NONE and spec.get("sessionAffinityConfig") is not None:
        detail = "must not be set when session affinity is None"
        errors.append(err.forbidden("spec.sessionAffinityConfig", detail))
    return errors


def address_problems(spec: Object) -> Errors:
    """ValidateServiceClusterIPsRelatedFields, which allocation asks for too, before it gives addresses out."""
    if spec.get("type") == "ExternalName":
        return []
    path = "spec.clusterIPs"
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    policy, single = spec.get("ipFamilyPolicy"), spec.get("clusterIP") or ""
    errors: Errors = []
    if single and not addresses:
        errors.append(err.required(path))
    elif single and addresses[0] != single:
        errors.append(err.invalid(path, addresses, "first value must match `clusterIP`"))
    elif addresses and not single:
        errors.append(err.invalid(path, addresses, "must be empty when `clusterIP` is not specified"))
    for i, wanted in enumerate(families):
        errors += one_of(wanted, f"spec.ipFamilies[{i}]", _FAMILIES)
        if wanted in families[:i]:
            errors.append(err.duplicate(f"spec.ipFamilies[{i}]", wanted))
    if policy is not None:
        errors += one_of(policy, "spec.ipFamilyPolicy", _FAMILY_POLICIES)
    bad: Errors = []
    for i, address in enumerate(addresses):
        if i or address != NONE:
            bad += checks.ip(address, f"{path}[{i}]")
        elif len(addresses) > 1:
            bad.append(err.invalid(path, addresses, "'None' must be the first and only value"))
    errors += bad
    if len(addresses) > 2:
        errors.append(err.invalid(path, addresses, "may only hold up to 2 values"))
    if bad:
        return errors
    if len(addresses) > 1 and len({family(address) for address in addresses}) < 2:
        errors.append(err.invalid(path, addresses, "may specify no more than one IP for each IP family"))
    return errors or _families_match(addresses, families)


def family(address: str) -> str:
    parsed = names.parse_ip(address)
    return f"IPv{parsed.version}" if parsed is not None else ""


def _families_match(addresses: list[str], families: list[str]) -> Errors:
    return [
        err.invalid(f"spec.clusterIPs[{i}]", address, f"expected an {wanted} value as indicated by `ipFamilies[{i}]`")
        for i, (address, wanted) in enumerate(zip(addresses, families, strict=False))
        if address != NONE and family(address) != wanted
    ]


def _annotations(annotations: dict[str, str], spec: Object) -> Errors:
    errors: Errors = []
    mode, hints = annotations.get(_TOPOLOGY), annotations.get(_OLD_HINTS)
    if mode is not None and hints is not None and mode != hints:
        detail = f"must match annotations[{_OLD_HINTS}] when both are specified"
        errors.append(err.invalid(f"metadata.annotations[{_TOPOLOGY}]", mode, detail))
    ranges = annotations.get(_RANGES)
    if ranges is not None and not spec.get("loadBalancerSourceRanges"):
        path = f"metadata.annotations[{_RANGES}]"
        if spec.get("type") != "LoadBalancer":
            errors.append(err.forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
        if ranges.strip():
            errors += [e for one in ranges.strip().split(",") for e in checks.named(one.strip(), path, names.cidr)]
    return errors


def _traffic(spec: Object) -> Errors:
    errors: Errors = []
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if not external_traffic(spec):
        if external:
            detail = "may only be set for externally-accessible services"
            errors.append(err.invalid("spec.externalTrafficPolicy", external, detail))
    elif not external:
        errors.append(
            err.required("spec.externalTrafficPolicy", "ExternalTrafficPolicy is required for externally-accessible services")
        )
    else:
        errors += one_of(external, "spec.externalTrafficPolicy", _POLICIES)
    health = spec.get("healthCheckNodePort") or 0
    if not needs_health_check(spec):
        if health:
            detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(err.invalid("spec.healthCheckNodePort", health, detail))
    elif health:
        errors += checks.port(health, "spec.healthCheckNodePort")
    if spec.get("type") != "ExternalName":
        path = "spec.internalTrafficPolicy"
        errors += [err.required(path)] if internal is None else one_of(internal, path, _POLICIES)
    if spec.get("trafficDistribution") is not None:
        errors += one_of(spec["trafficDistribution"], "spec.trafficDistribution", _DISTRIBUTIONS)
    return errors


def _load_balancer_fields(spec: Object) -> Errors:
    errors: Errors = []
    balancer = spec.get("type") == "LoadBalancer"
    for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(field) is not None and not balancer:
            errors.append(err.forbidden(f"spec.{field}", "may only be used when `type` is 'LoadBalancer'"))
    if balancer and spec.get("allocateLoadBalancerNodePorts") is None:
        errors.append(err.required("spec.allocateLoadBalancerNodePorts"))
    if spec.get("loadBalancerClass") is not None and balancer:
        errors += checks.label_name(spec["loadBalancerClass"], "spec.loadBalancerClass")
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and not balancer:
        errors.append(err.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'"))
    for i, one in enumerate(ranges):
        errors += checks.named(one.strip(), f"spec.LoadBalancerSourceRanges[{i}]", names.cidr)
    return errors


def special_ip(address: str, path: str) -> Errors:
    """ValidateNonSpecialIP: no unspecified, loopback, link-local or multicast address."""
    parsed = names.parse_ip(address)
    if parsed is None:
        return [err.invalid(path, address, "must be a valid IP address")]
    errors: Errors = []
    if parsed.is_unspecified:
        errors.append(err.invalid(path, address, f"may not be unspecified ({address})"))
    if parsed.is_loopback:
        errors.append(err.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if parsed.is_link_local:
        errors.append(err.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if parsed in _LOCAL_MULTICAST[parsed.version]:
        detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(err.invalid(path, address, detail))
    return errors


_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def _address_changes(new: Object, old: Object) -> Errors:
    """Cluster IPs and families of a service stay; only the second may come and go."""
    errors: Errors = []
    if not (needs_cluster_ip(new) and needs_cluster_ip(old)):
        return errors
    addresses, before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    if before and (not addresses or addresses[0] != before[0]):
        detail = "may not change once set" if addresses else "primary clusterIP can not be unset"
        errors.append(err.invalid("spec.clusterIPs[0]", addresses or None, detail))
    families, was = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    if was and families and families[0] != was[0]:
        errors.append(err.invalid("spec.ipFamilies[0]", families, "may not change once set"))
    if len(addresses) > 1 and len(before) > 1 and addresses[1] != before[1]:
        errors.append(err.invalid("spec.clusterIPs[1]", addresses, "may not change once set"))
    if new.get("type") == old.get("type") == "LoadBalancer" and new.get("loadBalancerClass") != old.get("loadBalancerClass"):
        errors.append(err.invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set"))
    health, had = new.get("healthCheckNodePort"), old.get("healthCheckNodePort")
    if needs_health_check(new) and needs_health_check(old) and had and health != had:
        detail = "cannot change healthCheckNodePort on loadBalancer service with externalTraffic=Local during update"
        errors.append(err.invalid("spec.healthCheckNodePort", health or 0, detail))
    return errors


def load_balancer(points: Any, path: str) -> Errors:
    """ValidateLoadBalancerStatus: where a balancer is reached."""
    errors: Errors = []
    for i, point in enumerate(points):
        at = f"{path}[{i}]"
        if point.get("ip"):
            errors += checks.ip(point["ip"], f"{at}.ip")
        if point.get("ipMode") is not None:
            if not point.get("ip"):
                errors.append(err.forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
            errors += one_of(point["ipMode"], f"{at}.ipMode", ("Proxy", "VIP"))
        elif point.get("ip"):
            errors.append(err.required(f"{at}.ipMode", "must be specified when `ip` is set"))
        if point.get("hostname"):
            errors += checks.named(point["hostname"], f"{at}.hostname", names.dns1123_subdomain)
            if names.parse_ip(point["hostname"]) is not None:
                detail = "must be a DNS name, not an IP address"
                errors.append(err.invalid(f"{at}.hostname", point["hostname"], detail))
    return errors


def service_warnings(obj: Object) -> list[str]:
    """pkg/api/service: GetWarningsForService."""
    spec, found = obj.get("spec") or {}, []
    annotations = obj["metadata"].get("annotations") or {}
    if _OLD_HINTS in annotations:
        found.append(f"annotation {_OLD_HINTS} is deprecated, please use {_TOPOLOGY} instead")
    headless, kind = spec.get("clusterIP") == NONE, spec.get("type")
    if spec.get("clusterIP") and not headless and kind != "ExternalName":
        for i, address in enumerate(spec.get("clusterIPs") or ()):
            found += ip_warnings(address, f"spec.clusterIPs[{i}]")
    if headless and kind == "ClusterIP":
        if spec.get("loadBalancerIP"):
            found.append("spec.loadBalancerIP is ignored for headless services")
        if spec.get("externalIPs"):
            found.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") not in (None, "", NONE):
            found.append("spec.SessionAffinity is ignored for headless services")
    for i, address in enumerate(spec.get("externalIPs") or ()):
        found += ip_warnings(address, f"spec.externalIPs[{i}]")
    if spec.get("loadBalancerIP"):
        found += ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for i, one in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += cidr_warnings(one, f"spec.loadBalancerSourceRanges[{i}]")
    if kind == "ExternalName" and spec.get("externalIPs"):
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("externalIPs"):
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found
