"""A front proxy's certificate and its X-Remote-* headers make a user; no other certificate does, and a proxy's alone makes nobody."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from multidict import CIMultiDict

from minikube_api.meta.errors import Unauthorized
from minikube_api.server.access.certificates import Authority, KeyPair
from minikube_api.server.authentication import AuthenticatorChain, ClientCertificate
from minikube_api.server.context import Request, RequestInfo, UserInfo
from minikube_api.server.front_proxy import Issuers, RequestHeader

CLIENTS, PROXIES = Authority.create("clients"), Authority.create("front-proxy")
PROXY = PROXIES.issue("front-proxy-client", client=True)
NAMED = {"X-Remote-User": "carol", "X-Remote-Group": "devs", "X-Remote-Uid": "u1", "X-Remote-Extra-Acme.com%2fRoom": "7"}


@pytest.fixture
def chain(tmp_path: Path) -> AuthenticatorChain:
    files = []
    for name, authority in (("clients.crt", CLIENTS), ("proxies.crt", PROXIES)):
        files.append(tmp_path / name)
        files[-1].write_bytes(authority.pair.certificate)
    clients, proxies = (Issuers(file) for file in files)
    return AuthenticatorChain([RequestHeader(proxies, ("front-proxy-client",)), ClientCertificate(clients, strangers=proxies)])


def coming(pair: KeyPair | None, headers: dict[str, str]) -> Request:
    der = None if pair is None else ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    return Request("GET", "/", "", CIMultiDict(headers), {}, RequestInfo("/", "get"), certificate=der)


async def test_a_proxy_says_who_the_user_is(chain: AuthenticatorChain) -> None:
    user = await chain.authenticate(coming(PROXY, NAMED))
    assert user == UserInfo("carol", "u1", ("devs", "system:authenticated"), {"acme.com/room": ("7",)})


async def test_headers_of_a_client_are_not_believed(chain: AuthenticatorChain) -> None:
    client = CLIENTS.issue("front-proxy-client", client=True)
    assert (await chain.authenticate(coming(client, NAMED))).name == "front-proxy-client"
    assert (await chain.authenticate(coming(None, NAMED))).name == "system:anonymous"


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        pytest.param("somebody", NAMED, id="a-name-that-is-not-allowed"),
        pytest.param("front-proxy-client", {}, id="without-a-user"),
        pytest.param("admin", {}, id="posing-as-a-client"),
    ],
)
async def test_what_the_proxies_authority_signed_is_no_client(
    chain: AuthenticatorChain, name: str, headers: dict[str, str]
) -> None:
    pair = PROXIES.issue(name, organizations=["system:masters"], client=True)
    with pytest.raises(Unauthorized):
        await chain.authenticate(coming(pair, headers))
