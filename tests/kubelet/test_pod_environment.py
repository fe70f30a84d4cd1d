"""Variables of a container: expansion, service variables, sources; and the downward API's values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_builders import pod

from minikube_agents.kubelet import downward, environment, service_environment
from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.environment import ConfigError, Sources
from minikube_agents.kubelet.expansion import expand, missing
from minikube_api.schema.typed import core_v1 as v1

AROUND = Surroundings(("10.244.0.5",), ("192.168.49.2",), {"cpu": "4", "memory": "8Gi"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)", "1", id="reference"),
        pytest.param("a-$(A)-$(B)", "a-1-2", id="two"),
        pytest.param("$(X)", "$(X)", id="unknown stays"),
        pytest.param("$$(A)", "$(A)", id="escaped"),
        pytest.param("$$$(A)", "$1", id="escape then reference"),
        pytest.param("$$$$(A)", "$$(A)", id="two escapes"),
        pytest.param("$A", "$A", id="no parentheses"),
        pytest.param("$(A", "$(A", id="unclosed"),
        pytest.param("$", "$", id="alone"),
        pytest.param("$()", "$()", id="empty name"),
        pytest.param("$($(A))", "$($(A))", id="no nesting"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}.get) == expected


@given(st.text(alphabet="$()AB-"))
def test_expansion_without_variables_only_removes_escapes(text: str) -> None:
    assert expand(text.replace("$", "$$"), {"A": "1"}.get) == text


def test_missing_names_are_found() -> None:
    assert missing("a/$(A)/$(B)/$$(C)", {"A": "1"}) == ["B"]


def service(name: str, namespace: str = "default", *ports: dict[str, Any], ip: str = "10.96.0.7") -> v1.Service:
    tree = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports) or [{"port": 80}]}}
    return msgspec.convert(tree, v1.Service)


KUBERNETES = service("kubernetes", "default", {"name": "https", "port": 443, "protocol": "TCP"}, ip="10.96.0.1")


def test_service_variables_have_both_styles() -> None:
    env = service_environment.variables(
        [service("my-db", "default", {"name": "sql-x", "port": 5432, "protocol": "TCP"})], "default", links=True
    )
    assert env == {
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL_X": "5432",
        "MY_DB_PORT": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.7",
    }


@pytest.mark.parametrize(
    ("namespace", "links", "hosts"),
    [
        pytest.param("default", True, {"KUBERNETES", "WEB"}, id="own namespace"),
        pytest.param("default", False, {"KUBERNETES"}, id="no links"),
        pytest.param("other", True, {"KUBERNETES"}, id="another namespace sees kubernetes only"),
    ],
)
def test_which_services_are_told(namespace: str, links: bool, hosts: set[str]) -> None:
    services = [KUBERNETES, service("web"), service("headless", ip="None")]
    env = service_environment.variables(services, namespace, links=links)
    assert {name.removesuffix("_SERVICE_HOST") for name in env if name.endswith("_SERVICE_HOST")} == hosts


def variables(container: dict[str, Any], sources: Sources | None = None, **spec: Any) -> dict[str, str]:
    one = pod("a", {"name": "c", **container}, enableServiceLinks=False, **spec)
    return environment.variables(one, one.spec.containers[0], sources=sources or Sources(), services=[KUBERNETES], around=AROUND)


def own(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith("KUBERNETES_")}


def test_variables_expand_in_order_and_see_services() -> None:
    env = variables({"env": [
        {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)"}, {"name": "C", "value": "3"},
        {"name": "URL", "value": "https://$(KUBERNETES_SERVICE_HOST)"},
    ]})  # fmt: skip
    assert own(env) == {"A": "1", "B": "1-$(C)", "C": "3", "URL": "https://10.96.0.1"}


def test_a_containers_own_variable_wins_over_the_services() -> None:
    assert variables({"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "x"}]})["KUBERNETES_SERVICE_HOST"] == "x"


CONFIG = msgspec.convert({"metadata": {"name": "m"}, "data": {"k": "v", "other": "o", "a=b": "no"}}, v1.ConfigMap)
SECRET = v1.Secret(data={"k": b"s"})


def test_values_from_config_maps_secrets_and_fields() -> None:
    sources = Sources({"m": CONFIG}, {"s": SECRET})
    env = variables({
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
        ],
    }, sources, metadata={"labels": {"app": "web"}})  # fmt: skip
    assert own(env) == {"P_k": "v", "P_other": "o", "A": "v", "B": "s", "IP": "10.244.0.5", "ME": "web", "CPU": "4"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"configMapKeyRef": {"name": "x", "key": "k"}}, 'configmap "x" not found', id="no ConfigMap"),
        pytest.param({"configMapKeyRef": {"name": "m", "key": "x"}}, "couldn't find key x in ConfigMap default/m", id="no key"),
        pytest.param({"secretKeyRef": {"name": "x", "key": "k"}}, 'secret "x" not found', id="no Secret"),
        pytest.param({"secretKeyRef": {"name": "s", "key": "x"}}, "couldn't find key x in Secret default/s", id="no secret key"),
    ],
)
def test_a_missing_source_is_a_config_error(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        variables({"env": [{"name": "A", "valueFrom": source}]}, Sources({"m": CONFIG}, {"s": SECRET}))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        pytest.param({"resource": "limits.cpu"}, "2", id="cores rounded up"),
        pytest.param({"resource": "limits.cpu", "divisor": "1m"}, "1250", id="millicores"),
        pytest.param({"resource": "requests.memory", "divisor": "1Mi"}, "32", id="mebibytes"),
        pytest.param({"resource": "limits.memory"}, str(8 * 2**30), id="no limit: the node's"),
    ],
)
def test_resource_fields(ref: dict[str, str], expected: str) -> None:
    one = pod("a", {"name": "c", "resources": {"limits": {"cpu": "1250m"}, "requests": {"memory": "32Mi"}}})
    assert downward.resource_value(one, msgspec.convert(ref, v1.ResourceFieldSelector), AROUND, "c") == expected


def test_whole_maps_are_sorted_and_quoted() -> None:
    assert downward.format_map({"b": 'say "hi"', "a": "1\n2"}) == 'a="1\\n2"\nb="say \\"hi\\""'


def test_env_files() -> None:
    assert environment.parse_env_file(b"# note\nA='1'\n\nB=two words\nbad line\n") == {"A": "1", "B": "two words"}
