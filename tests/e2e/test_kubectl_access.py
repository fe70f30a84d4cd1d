"""Who may do what, through kubectl 1.37: roles, tokens, impersonation, certificates."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.ways import both_ways


@pytest.fixture
def robot(kubectl: Program, namespace: str) -> str:
    """A service account that may read ConfigMaps of the test's namespace; its user name."""
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps")
    kubectl("create", "rolebinding", "robot-reads", "--role=reader", f"--serviceaccount={namespace}:robot")
    return f"system:serviceaccount:{namespace}:robot"


@both_ways
def test_role_allows_what_it_names_and_no_more(kubectl: Program, robot: str, namespace: str) -> None:
    def may(*what: str) -> str:
        return kubectl("auth", "can-i", *what, f"--as={robot}", check=False).out.strip()

    assert (may("get", "configmaps"), may("delete", "configmaps"), may("get", "secrets")) == ("yes", "no", "no")
    assert may("get", "configmaps", "--namespace=kube-system") == "no"
    kubectl("get", "configmaps", f"--as={robot}")
    refused = kubectl("get", "secrets", f"--as={robot}", check=False)
    assert refused.err == (
        f'Error from server (Forbidden): secrets is forbidden: User "{robot}" cannot list resource "secrets" in API group ""'
        f' in the namespace "{namespace}"\n'
    )


def test_can_i_list_shows_the_rules(kubectl: Program, robot: str) -> None:
    rows = kubectl("auth", "can-i", "--list", f"--as={robot}").rows
    assert ["configmaps", "[]", "[]", "[get", "list", "watch]"] in rows
    assert ["selfsubjectreviews.authentication.k8s.io", "[]", "[]", "[create]"] in rows


@both_ways
def test_token_of_a_service_account_opens_the_door(cluster: Cluster, kubectl: Program, robot: str) -> None:
    token = kubectl("create", "token", "robot", "--duration=10m").out.strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (robot, 600)
    bearer = Program(kubectl.path, cluster.environment | {"KUBECONFIG": without_users(cluster, kubectl)}, (f"--token={token}",))
    assert bearer("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").out == robot
    wrong = Program(kubectl.path, bearer.environment, ("--token=nonsense",))("get", "configmaps", check=False)
    assert "You must be logged in to the server" in wrong.err


def without_users(cluster: Cluster, kubectl: Program) -> str:
    """A kubeconfig that knows the cluster and no user."""
    tree = kubectl("config", "view", "--raw", "-o", "json").json
    tree["users"] = None
    for context in tree["contexts"]:
        context["context"]["user"] = ""
    path = cluster.home / "kubeconfig-of-nobody"
    path.write_text(json.dumps(tree))
    return str(path)


def test_token_dies_with_its_service_account(cluster: Cluster, kubectl: Program, robot: str) -> None:
    token = kubectl("create", "token", "robot").out.strip()
    kubectl("delete", "serviceaccount", "robot")
    bearer = Program(kubectl.path, cluster.environment | {"KUBECONFIG": without_users(cluster, kubectl)}, (f"--token={token}",))
    eventually(lambda: "You must be logged in to the server" in bearer("auth", "whoami", check=False).err)


def test_whoami_names_the_impersonated(kubectl: Program) -> None:
    shown = kubectl("auth", "whoami", "--as=jane", "--as-group=developers", "-o", "json").json["status"]["userInfo"]
    assert (shown["username"], shown["groups"]) == ("jane", ["developers", "system:authenticated"])


def test_reconcile_mends_a_role(kubectl: Program, namespace: str) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "mended", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    kubectl("delete", "role", "mended")
    kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    assert kubectl("get", "role", "mended", "-o", "json").json["rules"] == role["rules"]


def test_role_cannot_be_used_to_escalate(kubectl: Program, robot: str) -> None:
    kubectl("create", "role", "writer", "--verb=create,get", "--resource=roles.rbac.authorization.k8s.io")
    kubectl("create", "rolebinding", "robot-writes", "--role=writer", f"--serviceaccount={robot.split(':', 2)[2]}")
    refused = kubectl("create", "role", "strong", "--verb=delete", "--resource=secrets", f"--as={robot}", check=False)
    assert refused.code == 1
    assert "is attempting to grant RBAC permissions not currently held" in refused.err


def test_approved_certificate_makes_a_user(cluster: Cluster, kubectl: Program, namespace: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "jane"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "developers")]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    name = f"jane-{namespace}"
    kubectl.apply(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
    )
    assert kubectl("certificate", "approve", name).lines[0].endswith("approved")
    kubectl("wait", "--for=jsonpath={.status.certificate}", f"csr/{name}", "--timeout=5s")
    tree = kubectl("config", "view", "--raw", "-o", "json").json
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    tree["users"][0]["user"] = {
        "client-certificate-data": kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}").out,
        "client-key-data": base64.b64encode(private).decode(),
    }
    path = cluster.home / f"kubeconfig-{name}"
    path.write_text(json.dumps(tree))
    jane = Program(kubectl.path, cluster.environment | {"KUBECONFIG": str(path)})
    shown = jane("auth", "whoami", "-o", "json").json["status"]["userInfo"]
    assert (shown["username"], shown["groups"]) == ("jane", ["developers", "system:authenticated"])
    kubectl("delete", "csr", name)
