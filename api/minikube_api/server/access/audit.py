"""The audit log: JSON lines of audit.k8s.io/v1 Events, as an audit policy file selects them (documentation, "Auditing").

Bodies are kept only while a policy has rules of level Request or RequestResponse. Lines are gathered and written by a thread of their
own: a slow disk delays the log, not the requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from minikube_api.meta import times
from minikube_api.schema import protobuf
from minikube_api.server.access.audit_files import KEEP_ALL, Keeping, RotatedFile
from minikube_api.server.context import Request, UserInfo

log = logging.getLogger(__name__)

_LEVELS = ("None", "Metadata", "Request", "RequestResponse")
#: seconds that lines are gathered before they are written in one go
_GATHER = 0.05


class PolicyError(ValueError):
    """The audit policy can't be used."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy: empty fields match everything."""

    level: str
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    #: (group, resources, names)
    resources: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = ()
    namespaces: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False

    def matches(self, request: Request, user: UserInfo) -> bool:
        info = request.info
        if self.users and user.name not in self.users:
            return False
        if self.groups and not self.groups & set(user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if not self.resources and not self.namespaces and not self.urls:
            return True
        if not info.is_resource:
            return any(_path_matches(url, info.path) for url in self.urls)
        if self.urls and not self.resources and not self.namespaces:
            return False
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(_resource_matches(*entry, request) for entry in self.resources)


def _path_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))


def _resource_matches(group: str, resources: Sequence[str], names: Sequence[str], request: Request) -> bool:
    info = request.info
    if group != info.group or (names and info.name not in names):
        return False
    if not resources:
        return True
    full = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    choices = {full, "*"} if not info.subresource else {full, "*", f"{info.resource}/*", f"*/{info.subresource}"}
    return bool(choices & set(resources))


class Policy:
    """Rules in order; the first that matches decides, no match is level None."""

    def __init__(self, rules: Sequence[Rule], omit_stages: frozenset[str] = frozenset()) -> None:
        self._rules = tuple(rules)
        self._omit = omit_stages

    @classmethod
    def load(cls, path: Path) -> Policy:
        """An audit.k8s.io/v1 Policy in YAML. Raises PolicyError."""
        import yaml

        try:
            tree = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise PolicyError(f"{path}: {error}") from error
        return cls.of(tree)

    @classmethod
    def of(cls, tree: Any) -> Policy:
        if not isinstance(tree, dict) or tree.get("kind") != "Policy" or tree.get("apiVersion") != "audit.k8s.io/v1":
            raise PolicyError("an audit policy must be a Policy of audit.k8s.io/v1")
        rules = tree.get("rules") or []
        if not rules:
            raise PolicyError("loaded illegal policy with 0 rules")
        omit = bool(tree.get("omitManagedFields"))
        return cls([_rule(rule, omit) for rule in rules], frozenset(tree.get("omitStages") or ()))

    @property
    def wants_bodies(self) -> bool:
        return any(rule.level in ("Request", "RequestResponse") for rule in self._rules)

    def rule(self, request: Request, user: UserInfo, stage: str) -> Rule | None:
        """The rule that has the stage recorded; None: it is not."""
        if stage in self._omit:
            return None
        for rule in self._rules:
            if rule.matches(request, user):
                return None if stage in rule.omit_stages or rule.level == "None" else rule
        return None


def _rule(tree: dict[str, Any], omit_managed_fields: bool = False) -> Rule:
    level = tree.get("level", "")
    if level not in _LEVELS:
        raise PolicyError(f"unknown audit level {level!r}")
    resources = tuple(
        (entry.get("group", ""), tuple(entry.get("resources") or ()), tuple(entry.get("resourceNames") or ()))
        for entry in tree.get("resources") or ()
    )
    return Rule(
        level=level,
        users=frozenset(tree.get("users") or ()),
        groups=frozenset(tree.get("userGroups") or ()),
        verbs=frozenset(tree.get("verbs") or ()),
        resources=resources,
        namespaces=frozenset(tree.get("namespaces") or ()),
        urls=tuple(tree.get("nonResourceURLs") or ()),
        omit_stages=frozenset(tree.get("omitStages") or ()),
        omit_managed_fields=bool(tree.get("omitManagedFields", omit_managed_fields)),
    )


#: everything, without its arrival: what a cluster for learning wants to read
METADATA = Policy([Rule("Metadata", omit_stages=frozenset({"RequestReceived"}))])


class AuditLog:
    """An `AuditSink` into a file. Lines are gathered for a moment; `close` writes what is left."""

    def __init__(
        self, path: Path, policy: Policy = METADATA, clock: times.Clock = times.SYSTEM, keeping: Keeping = KEEP_ALL
    ) -> None:
        self._policy = policy
        self.wants_bodies = policy.wants_bodies
        self._clock = clock
        self._file = RotatedFile(path, keeping, clock)
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        # one thread: what is handed over first is written first
        self._writer = ThreadPoolExecutor(1, "audit-log")

    def record(self, request: Request, stage: str, code: int, failure: Mapping[str, Any] | None) -> None:
        user = request.original_user or request.user
        rule = self._policy.rule(request, user, stage)
        if rule is None:
            return
        made = event(request, rule.level, stage, code, failure, self._clock.time())
        if self.wants_bodies and stage != "RequestReceived":
            made |= bodies(request, rule)
        self._lines.append(orjson.dumps(made))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER, self._flush)

    def _flush(self) -> None:
        self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._writer.submit(self._write, lines)

    def _write(self, lines: list[bytes]) -> None:
        try:
            self._file.write(lines)
        except OSError as error:
            log.error("%d lines of the audit log are lost: %s", len(lines), error)

    def close(self) -> None:
        """Idempotent."""
        if self._file.closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._writer.shutdown()
        self._file.close()


def open_log(path: Path | None, policy: Path | None, keeping: Keeping = KEEP_ALL) -> AuditLog | None:
    """The log that options ask for; None without a path. Raises PolicyError and OSError."""
    if path is None:
        return None
    return AuditLog(path, METADATA if policy is None else Policy.load(policy), keeping=keeping)


def bodies(request: Request, rule: Rule) -> dict[str, Any]:
    """requestObject and responseObject, as far as the level asks for them."""
    made: dict[str, Any] = {}
    if not request.info.is_resource:
        return made
    if rule.level in ("Request", "RequestResponse") and (sent := _tree(request.audit_body)) is not None:
        made["requestObject"] = sent
    if rule.level == "RequestResponse" and (answered := _tree(request.audit_answer)) is not None:
        made["responseObject"] = answered
    if rule.omit_managed_fields:
        for tree in made.values():
            listed = tree.get("items") if isinstance(tree, dict) else None
            for part in (tree, *(listed or ())):
                if isinstance(part, dict) and isinstance(part.get("metadata"), dict):
                    part["metadata"].pop("managedFields", None)
    return made


def _tree(body: bytes) -> dict[str, Any] | list[Any] | None:
    """The object of a JSON, YAML or protobuf body, or the operations of a JSON patch; None for anything else."""
    if not body:
        return None
    if body.startswith(protobuf.PREFIX):
        try:
            return protobuf.decode(body)
        except protobuf.WireProblem:
            return None
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        import yaml

        try:
            tree = yaml.safe_load(body)
        except (yaml.YAMLError, UnicodeDecodeError):
            return None
    return tree if isinstance(tree, dict | list) else None


def event(request: Request, level: str, stage: str, code: int, failure: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """An audit.k8s.io/v1 Event."""
    info = request.info
    user = request.original_user or request.user
    made: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level,
        "auditID": request.audit_id,
        "stage": stage,
        "requestURI": request.path + (f"?{request.query_string}" if request.query_string else ""),
        "verb": info.verb,
        "user": _user(user),
    }
    if request.original_user is not None:
        made["impersonatedUser"] = _user(request.user)
    if request.impersonation_constraint:
        made["authenticationMetadata"] = {"impersonationConstraint": request.impersonation_constraint}
    made["sourceIPs"] = [request.remote] if request.remote else []
    if agent := request.headers.get("User-Agent"):
        made["userAgent"] = agent
    if info.is_resource:
        ref = {
            "resource": info.resource,
            "namespace": info.namespace,
            "name": info.name,
            "apiGroup": info.group,
            "apiVersion": info.version,
            "subresource": info.subresource,
        }
        made["objectRef"] = {key: value for key, value in ref.items() if value}
    if stage != "RequestReceived":
        made["responseStatus"] = {"metadata": {}, **_failure(failure), "code": code}
    made["requestReceivedTimestamp"] = times.format_micro(request.received)
    made["stageTimestamp"] = times.format_micro(now)
    if request.audit_annotations:
        made["annotations"] = dict(request.audit_annotations)
    return made


def _failure(failure: Mapping[str, Any] | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {key: failure[key] for key in ("status", "message", "reason", "details") if key in failure}


def _user(user: UserInfo) -> dict[str, Any]:
    tree: dict[str, Any] = {"username": user.name}
    if user.uid:
        tree["uid"] = user.uid
    if user.groups:
        tree["groups"] = list(user.groups)
    if user.extra:
        tree["extra"] = {key: list(values) for key, values in user.extra.items()}
    return tree
