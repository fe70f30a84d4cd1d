"""The Pod Security Standards: what a pod must not have at each level, in the words of the reference implementation. Pure.

Source: documentation, "Pod Security Standards"; k8s.io/pod-security-admission for the texts. The newest version of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Object = dict[str, Any]
#: (what is forbidden, where)
Finding = tuple[str, str]
Check = Callable[[Object], Iterator[Finding]]

_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_RESTRICTED_VOLUMES = frozenset(
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"]
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_SECCOMP = ("RuntimeDefault", "Localhost")


def findings(level: str, spec: Object) -> list[Finding]:
    """What of a pod's spec violates a level; nothing at `privileged`."""
    checks = {"baseline": _BASELINE, "restricted": _RESTRICTED}.get(level, ())
    return [finding for check in checks for finding in check(spec)]


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
    if bad and _os(spec) != "windows":
        yield "allowPrivilegeEscalation != false", f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"


def app_armor(spec: Object) -> Iterator[Finding]:
    setters, values = _setters(
        spec, lambda context: (context.get("appArmorProfile") or {}).get("type"), ("RuntimeDefault", "Localhost")
    )
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
    if _os(spec) == "windows":
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
    def options(context: Object) -> Object:
        return context.get("seLinuxOptions") or {}

    def wrong(value: Any) -> bool:
        return value.get("type", "") not in _SELINUX_TYPES or bool(value.get("user")) or bool(value.get("role"))

    setters, values = _setters(spec, options, (), wrong=wrong, distinct=False)
    if not setters:
        return
    types = sorted({value["type"] for value in values if value.get("type", "") not in _SELINUX_TYPES})
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
    if _os(spec) == "windows":
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
    bad = [name for name in used if name not in _SYSCTLS]
    if bad:
        yield "forbidden sysctls", ", ".join(bad)


def windows_host_process(spec: Object) -> Iterator[Finding]:
    def asked(context: Object) -> Any:
        return (context.get("windowsOptions") or {}).get("hostProcess")

    setters, values = _setters(spec, asked, (), wrong=bool)
    if values:
        yield "hostProcess", f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true"


def _os(spec: Object) -> str:
    return (spec.get("os") or {}).get("name", "")


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


_BASELINE: tuple[Check, ...] = (
    app_armor, capabilities_baseline, host_namespaces, host_path_volumes, host_ports, privileged, proc_mount, se_linux,
    seccomp_baseline, sysctls, windows_host_process,
)  # fmt: skip
_RESTRICTED: tuple[Check, ...] = (
    allow_privilege_escalation, app_armor, capabilities_restricted, host_namespaces, host_ports, privileged, proc_mount,
    restricted_volumes, run_as_non_root, run_as_user, se_linux, seccomp_restricted, sysctls, windows_host_process,
)  # fmt: skip
