"""Ingress, IngressClass, NetworkPolicy, ServiceCIDR and IPAddress. Source: pkg/apis/networking/validation."""

from __future__ import annotations

import ipaddress

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import addresses, checks, objectmeta
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
#: in the order in which messages list them
_PROTOCOLS = ("TCP", "UDP", "SCTP")


class IngressStrategy(KindStrategy):
    tracks_generation = True
    empty_status = {"loadBalancer": {}}

    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors: Errors = []
        if not spec.get("rules") and spec.get("defaultBackend") is None:
            errors.append(err.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified"))
        if spec.get("defaultBackend") is not None:
            errors += _backend(spec["defaultBackend"], "spec.defaultBackend")
        for i, rule in enumerate(spec.get("rules") or ()):
            errors += _rule(rule, f"spec.rules[{i}]")
        for i, tls in enumerate(spec.get("tls") or ()):
            errors += _tls(tls, f"spec.tls[{i}]")
        if spec.get("ingressClassName") is not None:
            errors += checks.named(spec["ingressClassName"], "spec.ingressClassName", names.dns1123_subdomain)
        return errors

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        annotation = (obj["metadata"].get("annotations") or {}).get(_CLASS)
        name = (obj.get("spec") or {}).get("ingressClassName")
        if annotation is None or name is None or annotation == name:
            return []
        detail = "must match `ingressClassName` when both are specified"
        return [err.invalid(f"annotations.{_CLASS}", annotation, detail)]

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors: Errors = []
        for i, point in enumerate(_points(obj)):
            at, address, hostname = f"{_POINTS}[{i}]", point.get("ip"), point.get("hostname")
            if address:
                errors += checks.ip(address, f"{at}.ip")
            if hostname:
                errors += checks.named(hostname, f"{at}.hostname", names.dns1123_subdomain)
                if names.parse_ip(hostname) is not None:
                    errors.append(err.invalid(f"{at}.hostname", hostname, "must be a DNS name, not an IP address"))
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            points = enumerate(_points(obj))
            return [text for i, point in points for text in addresses.ip_warnings(point.get("ip") or "", f"{_POINTS}[{i}].ip")]
        if old is None and _CLASS in (obj["metadata"].get("annotations") or {}):
            return [f"annotation {err.quote(_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"]
        return []


_POINTS = "status.loadBalancer.ingress"


def _points(obj: Object) -> list[Object]:
    return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _rule(rule: Object, path: str) -> Errors:
    errors: Errors = []
    host = rule.get("host")
    if host:
        if names.parse_ip(host) is not None:
            errors.append(err.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        errors += _host(host, f"{path}.host")
    http = rule.get("http")
    if http is not None:
        paths = http.get("paths") or ()
        if not paths:
            errors.append(err.required(f"{path}.http.paths"))
        for i, one in enumerate(paths):
            errors += _path(one, f"{path}.http.paths[{i}]")
    return errors


def _host(host: str, path: str) -> Errors:
    return checks.named(host, path, names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain)


def _path(one: Object, path: str) -> Errors:
    errors: Errors = []
    kind, where = one.get("pathType"), one.get("path") or ""
    if kind is None:
        return [err.required(f"{path}.pathType", "pathType must be specified")]
    if kind in ("Exact", "Prefix"):
        if not where.startswith("/"):
            errors.append(err.invalid(f"{path}.path", where, "must be an absolute path"))
        if where:
            errors += [err.invalid(f"{path}.path", where, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in where]
            errors += [
                err.invalid(f"{path}.path", where, f"cannot end with '{bad}'") for bad in _BAD_SUFFIXES if where.endswith(bad)
            ]
    elif kind == "ImplementationSpecific":
        if where and not where.startswith("/"):
            errors.append(err.invalid(f"{path}.path", where, "must be an absolute path"))
    else:
        errors.append(err.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    return errors + _backend(one.get("backend") or {}, f"{path}.backend")


def _backend(backend: Object, path: str) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [err.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _typed_reference(resource, f"{path}.resource")
    if service is None:
        return [err.invalid(path, "", "resource or service backend is required")]
    errors: Errors = []
    name, port = service.get("name"), service.get("port") or {}
    if not name:
        errors.append(err.required(f"{path}.service.name"))
    else:
        errors += checks.named(name, f"{path}.service.name", names.dns1123_label)
    if port.get("name") and port.get("number"):
        errors.append(err.invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        errors += checks.named(port["name"], f"{path}.service.port.name", names.port_name)
    elif port.get("number"):
        errors += checks.port(port["number"], f"{path}.service.port.number")
    else:
        errors.append(err.required(path, "port name or number is required"))
    return errors


def _typed_reference(ref: Object, path: str) -> Errors:
    errors: Errors = []
    if ref.get("apiGroup") is not None:
        errors += checks.named(ref["apiGroup"], f"{path}.apiGroup", names.dns1123_subdomain)
    for field in ("kind", "name"):
        if not ref.get(field):
            errors.append(err.required(f"{path}.{field}", f"{field} is required"))
        else:
            errors += checks.named(ref[field], f"{path}.{field}", names.path_segment)
    return errors


def _tls(tls: Object, path: str) -> Errors:
    errors: Errors = []
    for i, host in enumerate(tls.get("hosts") or ()):
        errors += _host(host, f"{path}.hosts[{i}]")
    if tls.get("secretName"):
        errors += checks.named(tls["secretName"], f"{path}.secretName", names.dns1123_subdomain)
    return errors


class IngressClassStrategy(KindStrategy):
    tracks_generation = True

    def defaults(self, obj: Object) -> None:
        parameters = obj.setdefault("spec", {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        controller = spec.get("controller") or ""
        errors: Errors = []
        if len(controller) > 250:
            errors.append(err.too_long("spec.controller", controller, 250))
        errors += checks.domain_prefixed_path(controller, "spec.controller")
        parameters = spec.get("parameters")
        if parameters is not None:
            path = "spec.parameters"
            errors += _typed_reference(parameters, path)
            scope, namespace = parameters.get("scope"), parameters.get("namespace")
            errors += one_of(scope, f"{path}.scope", ("Cluster", "Namespace"))
            if scope == "Namespace":
                at = f"{path}.namespace"
                errors += (
                    checks.named(namespace, at, names.dns1123_label)
                    if namespace is not None
                    else [err.required(at, "`parameters.scope` is set to 'Namespace'")]
                )
            elif scope == "Cluster" and namespace is not None:
                errors.append(err.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj["spec"], old["spec"], "controller", path="spec")


class NetworkPolicyStrategy(KindStrategy):
    tracks_generation = True

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors = checks.label_selector(spec.get("podSelector"), "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate(spec.get(direction) or ()):
                at = f"spec.{direction}[{i}]"
                for j, port in enumerate(rule.get("ports") or ()):
                    errors += _policy_port(port, f"{at}.ports[{j}]")
                for j, peer in enumerate(rule.get(peers) or ()):
                    errors += _peer(peer, f"{at}.{peers}[{j}]")
        types = spec.get("policyTypes") or ()
        if len(types) > 2:
            return [*errors, err.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
        for i, kind in enumerate(types):
            errors += one_of(kind, f"spec.policyTypes[{i}]", ("Ingress", "Egress"))
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        spec = obj.get("spec") or {}
        found = []
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate(spec.get(direction) or ()):
                for j, peer in enumerate(rule.get(peers) or ()):
                    block, at = peer.get("ipBlock") or {}, f"spec.{direction}[{i}].{peers}[{j}].ipBlock"
                    found += addresses.cidr_warnings(block.get("cidr") or "", f"{at}.cidr")
                    for k, one in enumerate(block.get("except") or ()):
                        found += addresses.cidr_warnings(one, f"{at}.except[{k}]")
        return found


def _policy_port(port: Object, path: str) -> Errors:
    errors = one_of(port["protocol"], f"{path}.protocol", _PROTOCOLS) if port.get("protocol") is not None else []
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            errors.append(err.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
        return errors
    errors += checks.port_or_name(number, f"{path}.port")
    if end is not None:
        if isinstance(number, str):
            detail = "may not be specified when `port` is non-numeric"
            errors.append(err.invalid(f"{path}.endPort", end, detail))
        else:
            if end < number:
                # the value shown is that of the port
                errors.append(err.invalid(f"{path}.endPort", number, "must be greater than or equal to `port`"))
            errors += checks.port(end, f"{path}.endPort")
    return errors


def _peer(peer: Object, path: str) -> Errors:
    errors: Errors = []
    given = [kind for kind in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(kind) is not None]
    for kind in ("podSelector", "namespaceSelector"):
        if kind in given:
            errors += checks.label_selector(peer[kind], f"{path}.{kind}")
    if "ipBlock" in given:
        errors += _ip_block(peer["ipBlock"], f"{path}.ipBlock")
    if not given:
        errors.append(err.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        errors.append(err.forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _ip_block(block: Object, path: str) -> Errors:
    cidr = block.get("cidr")
    if not cidr:
        return [err.required(f"{path}.cidr")]
    errors = checks.named(cidr, f"{path}.cidr", names.cidr)
    if errors:
        return errors
    outer = ipaddress.ip_network(cidr, strict=False)
    for i, one in enumerate(block.get("except") or ()):
        at = f"{path}.except[{i}]"
        problems = checks.named(one, at, names.cidr)
        if not problems:
            inner = ipaddress.ip_network(one, strict=False)
            inside = inner.version == outer.version and inner.network_address in outer and inner.prefixlen > outer.prefixlen
            if not inside:
                problems = [err.invalid(at, one, "must be a strict subset of `cidr`")]
        errors += problems
    return errors


class ServiceCIDRStrategy(KindStrategy):
    empty_status = {}

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        cidrs: list[str] = (obj.get("spec") or {}).get("cidrs") or []
        path = "spec.cidrs"
        if not cidrs:
            return [err.required(path, "at least one CIDR required")]
        if len(cidrs) > 2:
            return [err.invalid(path, {"CIDRs": cidrs}, "may only hold up to 2 values")]
        if len(cidrs) == 2:
            readable = all(not names.cidr(one) for one in cidrs)
            if not readable or (":" in cidrs[0]) == (":" in cidrs[1]):
                detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
                return [err.invalid(path, {"CIDRs": cidrs}, detail)]
        return [error for i, one in enumerate(cidrs) for error in checks.named(one, f"{path}[{i}]", addresses.strict_cidr)]

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = objectmeta.update_problems(obj, old)
        if ctx.subresource == "status":
            return errors
        new, was = ((o.get("spec") or {}).get("cidrs") or [] for o in (obj, old))
        growing = (len(was), len(new)) == (1, 2)
        if len(new) != len(was) and not growing:
            return [*errors, err.invalid("spec.cidrs", new or None, "field is immutable")]
        changed = [i for i, one in enumerate(was) if new[i] != one]
        errors += [err.invalid(f"spec.cidrs[{i}]", new[i], "field is immutable") for i in changed]
        # only a range of the other family may come
        return errors + self.validate(ctx, obj) if growing else errors


def _address_name(name: str, prefix: bool) -> list[str]:
    return addresses.strict_ip(name)


class IPAddressStrategy(KindStrategy):
    name_problems = staticmethod(_address_name)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        parent = (obj.get("spec") or {}).get("parentRef")
        path = "spec.parentRef"
        if parent is None:
            return [err.required(path)]
        errors: Errors = []
        if parent.get("group"):
            errors += checks.named(parent["group"], f"{path}.group", names.dns1123_subdomain)
        for field in ("resource", "name"):
            if not parent.get(field):
                errors.append(err.required(f"{path}.{field}"))
            else:
                errors += checks.named(parent[field], f"{path}.{field}", names.path_segment)
        if parent.get("namespace"):
            errors += checks.named(parent["namespace"], f"{path}.namespace", names.path_segment)
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = ((o.get("spec") or {}).get("parentRef") for o in (obj, old))
        if new == was:
            return []
        shown = new and {name.capitalize(): new.get(name) or "" for name in ("group", "resource", "namespace", "name")}
        return [err.invalid("spec.parentRef", shown, "field is immutable")]
