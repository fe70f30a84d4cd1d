"""The Pod Security Standards: what a pod must not have at each level, in the words of the reference implementation. Pure.

Source: documentation, "Pod Security Standards"; k8s.io/pod-security-admission for the texts. A check may have come, or changed, with
a version of Kubernetes: namespaces say which version of the policy they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
#: (what is forbidden, where)
Finding = tuple[str, str]
Check = Callable[[Object], Iterator[Finding]]
#: minor version that stands for `latest`
LATEST = 1 << 16

_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_RESTRICTED_VOLUMES = frozenset(
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"]
)
#: safe sysctls, and the minor version that took them up
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.tcp_syncookies": 0, "net.ipv4.ping_group_range": 0, "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}  # fmt: skip
_SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
_SECCOMP = ("RuntimeDefault", "Localhost")


def findings(level: str, version: str, pod: Object) -> list[Finding]:
    """What of a pod (metadata and spec) violates a level as it was in `version` (`latest`, `v1.25`); nothing at `privileged`."""
    if level == "privileged":
        return []
    minor = LATEST if version == "latest" else int(version.partition(".")[2])
    # under the empty key checks find the version that they are to judge by
    spec = {**(pod.get("spec") or {}), "": minor}
    rules = (rule for rule in _RULES if rule.applies(level, minor))
    return [finding for rule in rules for finding in rule.check(pod if rule.of_pod else spec)]


def containers(spec: Object) -> Iterator[tuple[str, Object, Object]]:
    """(name, container, its securityContext), init containers first."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield container.get("name", ""), container, container.get("securityContext") or {}


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _named(names: Sequence[str], one: str = "container") -> str:
    return f"{one if len(names) == 1 else one + 's'} {_quoted(names)}"


def _bad(spec: Object, wrong: Callable[[Object], bool]) -> list[str]:
    return [name for name, _, context in containers(spec) if wrong(context)]


def allow_privilege_escalation(spec: Object) -> Iterator[Finding]:
    bad = _bad(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    if bad and not _is_windows(spec):
        yield "allowPrivilegeEscalation != false", f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"


_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(pod: Object) -> Iterator[Finding]:
    """Fields, and the annotations that were there before them."""
    spec = pod.get("spec") or {}
    setters, values = _setters(
        spec, lambda context: (context.get("appArmorProfile") or {}).get("type"), ("RuntimeDefault", "Localhost")
    )
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    bad = [
        f'{key}="{value}"'
        for key, value in sorted(annotations.items())
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    if bad:
        setters, values = [*setters, "annotation" if len(bad) == 1 else "annotations"], [*values, *bad]
    if values:
        reason = "forbidden AppArmor profile" + ("s" if len(values) > 1 else "")
        yield reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}"


def _added(context: Object) -> set[str]:
    return set((context.get("capabilities") or {}).get("add") or ())


def capabilities_baseline(spec: Object) -> Iterator[Finding]:
    bad = _bad(spec, lambda context: bool(_added(context) - _BASELINE_CAPABILITIES))
    if bad:
        added = sorted({cap for _, _, context in containers(spec) for cap in _added(context)} - _BASELINE_CAPABILITIES)
        yield "non-default capabilities", f"{_named(bad)} must not include {_quoted(added)} in securityContext.capabilities.add"


def capabilities_restricted(spec: Object) -> Iterator[Finding]:
    if _is_windows(spec):
        return
    keeping = _bad(spec, lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or ()))
    adding = _bad(spec, lambda context: bool(_added(context) - {"NET_BIND_SERVICE"}))
    details = []
    if keeping:
        details.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = sorted({cap for _, _, context in containers(spec) for cap in _added(context)} - {"NET_BIND_SERVICE"})
        details.append(f"{_named(adding)} must not include {_quoted(added)} in securityContext.capabilities.add")
    if details:
        yield "unrestricted capabilities", "; ".join(details)


def host_namespaces(spec: Object) -> Iterator[Finding]:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if used:
        yield "host namespaces", ", ".join(used)


def host_path_volumes(spec: Object) -> Iterator[Finding]:
    bad = [volume.get("name", "") for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    if bad:
        yield "hostPath volumes", _named(bad, "volume")


def host_ports(spec: Object) -> Iterator[Finding]:
    bad: list[str] = []
    ports: set[str] = set()
    for name, container, _ in containers(spec):
        own = [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]
        if own:
            bad.append(name)
            ports.update(own)
    if bad:
        verb, noun = ("uses" if len(bad) == 1 else "use"), ("hostPort" if len(ports) == 1 else "hostPorts")
        yield "hostPort", f"{_named(bad)} {verb} {noun} {', '.join(sorted(ports))}"


def probe_hosts(spec: Object) -> Iterator[Finding]:
    """Probes and hooks that the kubelet sends elsewhere than to the pod (since v1.34)."""
    bad: list[str] = []
    hosts: set[str] = set()
    for name, container, _ in containers(spec):
        handlers = [container.get(field) or {} for field in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [(container.get("lifecycle") or {}).get(field) or {} for field in ("postStart", "preStop")]
        own = {(handler.get(action) or {}).get("host", "") for handler in handlers for action in ("httpGet", "tcpSocket")} - {""}
        if own:
            bad.append(name)
            hosts |= own
    if bad:
        verb, noun = ("uses" if len(bad) == 1 else "use"), ("host" if len(hosts) == 1 else "hosts")
        yield "probe or lifecycle host", f"{_named(bad)} {verb} probe or lifecycle {noun} {_quoted(sorted(hosts))}"


def privileged(spec: Object) -> Iterator[Finding]:
    bad = _bad(spec, lambda context: bool(context.get("privileged")))
    if bad:
        yield "privileged", f"{_named(bad)} must not set securityContext.privileged=true"


def proc_mount(spec: Object) -> Iterator[Finding]:
    bad = _bad(spec, lambda context: context.get("procMount", "Default") != "Default")
    if bad:
        values = sorted({c["procMount"] for _, _, c in containers(spec) if c.get("procMount", "Default") != "Default"})
        yield "procMount", f"{_named(bad)} must not set securityContext.procMount to {_quoted(values)}"


def restricted_volumes(spec: Object) -> Iterator[Finding]:
    bad: list[str] = []
    types: set[str] = set()
    for volume in spec.get("volumes") or ():
        own = [field for field in volume if field != "name" and field not in _RESTRICTED_VOLUMES]
        if own:
            bad.append(volume.get("name", ""))
            types.update(own)
    if bad:
        verb = "uses" if len(bad) == 1 else "use"
        noun = "restricted volume type" if len(types) == 1 else "restricted volume types"
        yield "restricted volume types", f"{_named(bad, 'volume')} {verb} {noun} {_quoted(sorted(types))}"


def run_as_non_root(spec: Object) -> Iterator[Finding]:
    whole = (spec.get("securityContext") or {}).get("runAsNonRoot")
    refusing = _bad(spec, lambda context: context.get("runAsNonRoot") is False)
    setters = (["pod"] if whole is False else []) + ([_named(refusing)] if refusing else [])
    if setters:
        yield "runAsNonRoot != true", f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false"
        return
    silent = [] if whole else _bad(spec, lambda context: context.get("runAsNonRoot") is None)
    if silent:
        yield "runAsNonRoot != true", f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true"


def run_as_user(spec: Object) -> Iterator[Finding]:
    setters, values = _setters(spec, lambda context: context.get("runAsUser"), (), wrong=lambda value: value == 0)
    if values:
        yield "runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0"


def se_linux(spec: Object) -> Iterator[Finding]:
    allowed = {name for name, since in _SELINUX_TYPES.items() if since <= spec[""]}

    def options(context: Object) -> Object:
        return context.get("seLinuxOptions") or {}

    def wrong(value: Any) -> bool:
        return value.get("type", "") not in allowed or bool(value.get("user")) or bool(value.get("role"))

    setters, values = _setters(spec, options, (), wrong=wrong, distinct=False)
    if not setters:
        return
    types = sorted({value["type"] for value in values if value.get("type", "") not in allowed})
    told = [f"type{'s' if len(types) > 1 else ''} {_quoted(types)}"] if types else []
    told += [f"{field} may not be set" for field in ("user", "role") if any(value.get(field) for value in values)]
    yield "seLinuxOptions", f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(told)}"


def _profile(context: Object) -> Any:
    return (context.get("seccompProfile") or {}).get("type")


def seccomp_baseline(spec: Object) -> Iterator[Finding]:
    setters, values = _setters(spec, _profile, _SECCOMP)
    if values:
        yield "seccompProfile", f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to {_quoted(values)}"


def seccomp_restricted(spec: Object) -> Iterator[Finding]:
    if _is_windows(spec):
        return
    found = list(seccomp_baseline(spec))
    if found:
        yield from found
        return
    silent = [] if _profile(spec.get("securityContext") or {}) else _bad(spec, lambda context: _profile(context) is None)
    if silent:
        yield (
            "seccompProfile",
            f'pod or {_named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
        )


def sysctls(spec: Object) -> Iterator[Finding]:
    used = [s.get("name", "") for s in (spec.get("securityContext") or {}).get("sysctls") or ()]
    bad = [name for name in used if _SYSCTLS.get(name, LATEST + 1) > spec[""]]
    if bad:
        yield "forbidden sysctls", ", ".join(bad)


def windows_host_process(spec: Object) -> Iterator[Finding]:
    def asked(context: Object) -> Any:
        return (context.get("windowsOptions") or {}).get("hostProcess")

    setters, values = _setters(spec, asked, (), wrong=bool)
    if values:
        yield "hostProcess", f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true"


def _is_windows(spec: Object) -> bool:
    """Windows pods are let off what Windows does not have (since v1.25)."""
    return (spec.get("os") or {}).get("name", "") == "windows" and spec[""] >= 25


def _setters(
    spec: Object,
    get: Callable[[Object], Any],
    allowed: Sequence[str],
    *,
    wrong: Callable[[Any], bool] | None = None,
    distinct: bool = True,
) -> tuple[list[str], list[Any]]:
    """Who sets a forbidden value (`pod`, `container "a"`), and the values (sorted, each once, if `distinct`)."""
    is_wrong = wrong or (lambda value: value not in allowed)
    setters: list[str] = []
    values: list[Any] = []
    whole = get(spec.get("securityContext") or {})
    if whole is not None and is_wrong(whole):
        setters.append("pod")
        values.append(whole)
    bad: list[str] = []
    for name, _, context in containers(spec):
        value = get(context)
        if value is not None and is_wrong(value):
            bad.append(name)
            values.append(value)
    if bad:
        setters.append(_named(bad))
    return setters, sorted(set(values)) if distinct else values


@dataclass(frozen=True, slots=True)
class Rule:
    """A check of the standards. `until` is the restricted level's version from which a stricter check takes this one's place."""

    check: Check
    level: str = "baseline"
    since: int = 0
    until: int = LATEST + 1
    #: the check sees the whole pod, not its spec alone
    of_pod: bool = False

    def applies(self, level: str, minor: int) -> bool:
        if level == "baseline":
            return self.level == level and minor >= self.since
        return self.since <= minor < self.until


#: in the order of the checks' ids, as kube-apiserver lists what it found
_RULES = (
    Rule(allow_privilege_escalation, "restricted", 8),
    Rule(app_armor, of_pod=True),
    Rule(capabilities_baseline, until=22),
    Rule(capabilities_restricted, "restricted", 22),
    Rule(host_namespaces),
    Rule(host_path_volumes, until=0),
    Rule(host_ports),
    Rule(probe_hosts, since=34),
    Rule(privileged),
    Rule(proc_mount),
    Rule(restricted_volumes, "restricted"),
    Rule(run_as_non_root, "restricted"),
    Rule(run_as_user, "restricted", 23),
    Rule(se_linux),
    Rule(seccomp_baseline, since=19, until=19),
    Rule(seccomp_restricted, "restricted", 19),
    Rule(sysctls),
    Rule(windows_host_process),
)
