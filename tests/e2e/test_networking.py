"""Pods, Services and names as pods and the host see them."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.manifests import deployment, pod, service, shell, web
from tests.e2e.ways import both_ways


def inside(kubectl: Program, name: str, script: str, *arguments: str) -> str:
    """What a Python script prints in a pod."""
    return kubectl("exec", name, "--", "python3", "-S", "-E", "-c", script, *arguments).out.strip()


FETCH = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=3).read().decode())
"""
RESOLVE = """
import socket, sys
try:
    print(*sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80, socket.AF_INET)}))
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME and "NXDOMAIN" or error)
"""
REFUSED = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 80), timeout=3)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=3) as answer:
        return answer.read().decode()


def ready(kubectl: Program, *names: str) -> None:
    kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=30s")


@both_ways
def test_service_name_leads_to_every_replica(cluster: Cluster, kubectl: Program, namespace: str) -> None:
    kubectl.apply(deployment("web", web(), replicas=3), service("web", target="http"), pod("client"))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    ready(kubectl, "client")
    pods = set(kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").out.split())
    seen: set[str] = set()

    def everyone() -> bool:
        seen.add(inside(kubectl, "client", FETCH, f"http://web.{namespace}.svc.cluster.local/"))
        return seen == pods

    eventually(everyone, limit=30)
    assert inside(kubectl, "client", FETCH, "http://web/") in pods, "the search domains of resolv.conf"
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").out
    assert inside(kubectl, "client", RESOLVE, "web") == address
    assert inside(kubectl, "client", RESOLVE, f"web.{namespace}") == address


@both_ways
def test_pods_reach_each_other_across_nodes(cluster: Cluster, kubectl: Program) -> None:
    kubectl.apply(pod("there", web(), nodeName=cluster.nodes[0]), pod("here", nodeName=cluster.nodes[1]))
    ready(kubectl, "there", "here")
    address = kubectl("get", "pod", "there", "-o", "jsonpath={.status.podIP}").out
    assert inside(kubectl, "here", FETCH, f"http://{address}:8080/") == "there"


@both_ways
def test_host_reaches_cluster_ip_and_node_port(cluster: Cluster, kubectl: Program) -> None:
    kubectl.apply(pod("web", web()), service("web", target="http", type="NodePort"))
    ready(kubectl, "web")
    spec = kubectl("get", "service", "web", "-o", "json").json["spec"]
    assert 30000 <= spec["ports"][0]["nodePort"] <= 32767
    urls = [f"http://{spec['clusterIP']}/"]
    addresses = kubectl(
        "get", "nodes", "-o", "jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}"
    ).out.split()
    urls += [f"http://{address}:{spec['ports'][0]['nodePort']}/" for address in (*addresses, "127.0.0.1")]

    def answers(url: str) -> str:
        try:
            return fetch(url)
        except OSError as error:
            raise AssertionError(f"{url}: {error}") from error

    for url in urls:
        assert eventually(lambda url=url: answers(url)) == "web"


def test_headless_names_are_the_pods_themselves(kubectl: Program, namespace: str) -> None:
    one = pod("one", web(), hostname="one", subdomain="crowd", labels={"app": "crowd"})
    kubectl.apply(one, pod("two", web(), labels={"app": "crowd"}), service("crowd", target="http", clusterIP="None"))
    ready(kubectl, "one", "two")
    ips = sorted(kubectl("get", "pods", "-o", "jsonpath={.items[*].status.podIP}").out.split())
    eventually(lambda: inside(kubectl, "two", RESOLVE, "crowd").split() == ips)
    only = kubectl("get", "pod", "one", "-o", "jsonpath={.status.podIP}").out
    assert inside(kubectl, "two", RESOLVE, f"one.crowd.{namespace}.svc.cluster.local") == only
    assert kubectl("exec", "one", "--", "hostname", "-f").out == f"one.crowd.{namespace}.svc.cluster.local\n"


def test_external_name_and_absent_names(kubectl: Program) -> None:
    alias = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "alias"},
        "spec": {"type": "ExternalName", "externalName": "kubernetes.default.svc.cluster.local"},
    }
    kubectl.apply(alias, pod("asks"))
    ready(kubectl, "asks")
    address = kubectl("get", "service", "kubernetes", "--namespace=default", "-o", "jsonpath={.spec.clusterIP}").out
    eventually(lambda: inside(kubectl, "asks", RESOLVE, "alias") == address)
    assert inside(kubectl, "asks", RESOLVE, "nobody.cluster.local") == "NXDOMAIN"


@both_ways
def test_service_follows_readiness_and_refuses_when_nobody_is(kubectl: Program) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/away"]}, "periodSeconds": 1, "failureThreshold": 1}
    kubectl.apply(pod("only", web(readinessProbe=probe)), service("only", target="http"), pod("client"))
    ready(kubectl, "only", "client")
    eventually(lambda: inside(kubectl, "client", REFUSED, "only") == "connected")
    kubectl("exec", "only", "--", "touch", "/tmp/away")
    kubectl("wait", "--for=condition=Ready=False", "pod/only", "--timeout=20s")

    def refused() -> bool:
        assert inside(kubectl, "client", REFUSED, "only") == "ConnectionRefusedError"
        return True

    eventually(refused)
    endpoint_slices = kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=only", "-o", "json").json["items"]
    assert [e["conditions"]["ready"] for s in endpoint_slices for e in s["endpoints"]] == [False]


def test_session_affinity_stays_with_one_pod(kubectl: Program) -> None:
    kubectl.apply(
        deployment("sticky", web(), replicas=3), service("sticky", target="http", sessionAffinity="ClientIP"), pod("client")
    )
    kubectl("rollout", "status", "deployment/sticky", "--timeout=30s")
    ready(kubectl, "client")
    kubectl("wait", "--for=jsonpath={.subsets[0].addresses[2].ip}", "endpoints/sticky", "--timeout=20s")
    many = "for _ in range(9):\n " + FETCH.strip().replace("\n", "\n ").replace("print(", "print(")
    eventually(lambda: "sticky" in inside(kubectl, "client", FETCH, "http://sticky/"))
    assert len(set(inside(kubectl, "client", many, "http://sticky/").split())) == 1


def test_pod_reaches_itself_through_its_service(kubectl: Program) -> None:
    kubectl.apply(pod("narcissus", web(), labels={"app": "mirror"}), service("mirror", target="http"))
    ready(kubectl, "narcissus")
    eventually(lambda: inside(kubectl, "narcissus", FETCH, "http://mirror/") == "narcissus")


@pytest.mark.parametrize("number", [0, 1])
def test_two_nodes_may_use_the_same_host_port(cluster: Cluster, kubectl: Program, number: int) -> None:
    port = [{"name": "http", "containerPort": 8080, "hostPort": 18080 + number}]
    kubectl.apply(*(pod(f"on-{i}", web(ports=port), nodeName=node) for i, node in enumerate(cluster.nodes)))
    ready(kubectl, "on-0", "on-1")
    for i in range(2):
        address = kubectl("get", "pod", f"on-{i}", "-o", "jsonpath={.status.hostIP}").out
        assert eventually(lambda address=address: fetch(f"http://{address}:{18080 + number}/")) == f"on-{i}"


def test_udp_service(kubectl: Program) -> None:
    echo = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 9000))\nwhile 1:\n d, a = s.recvfrom(99); s.sendto(d.upper(), a)"
    ask = """
import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(1)
s.sendto(b"words", (sys.argv[1], 53000)); print(s.recv(99).decode())
"""
    main = {"name": "main", "image": "host", "command": ["python3", "-S", "-c", echo]}
    ports = [{"name": "echo", "port": 53000, "targetPort": 9000, "protocol": "UDP"}]
    kubectl.apply(pod("udp", main), service("udp", ports=ports), shell_pod("client"))
    ready(kubectl, "udp", "client")
    eventually(lambda: "WORDS" in kubectl("exec", "client", "--", "python3", "-S", "-c", ask, "udp", check=False).out)


def shell_pod(name: str) -> dict:
    return pod(name, shell("sleep 1000"))


def test_dns_of_the_cluster_answers_the_host(cluster: Cluster, kubectl: Program, namespace: str) -> None:
    """As root the ClusterIP of kube-dns is reachable from here: a query by hand, since no resolver of the host points there."""
    import dnslib

    kubectl.apply(service("named"))
    address = kubectl("get", "service", "kube-dns", "--namespace=kube-system", "-o", "jsonpath={.spec.clusterIP}").out
    expected = kubectl("get", "service", "named", "-o", "jsonpath={.spec.clusterIP}").out
    question = dnslib.DNSRecord.question(f"named.{namespace}.svc.cluster.local")

    def answered() -> bool:
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.sendto(question.pack(), (address, 53))
            answer = dnslib.DNSRecord.parse(client.recv(4096))
        return [str(r.rdata) for r in answer.rr] == [expected]

    eventually(answered)


def test_network_policy_objects_are_kept(kubectl: Program) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    kubectl.apply(policy)
    assert kubectl("get", "networkpolicy").rows[1][:2] == ["closed", "<none>"]
    assert json.loads(kubectl("get", "networkpolicy", "closed", "-o", "json").out)["spec"] == policy["spec"]
