from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from minikube_api.client.transport import Response
from minikube_api.server.context import Answer, Request, UserInfo
from minikube_api.server.fairness import maintenance
from minikube_api.server.server import Config, Server

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ADMIN = UserInfo("admin", groups=("system:masters",))
MOB = UserInfo("mob", groups=("devs",))
ALICE = UserInfo("alice")


class AllowAll:
    async def authorize(self, attributes: Any) -> Any:
        from minikube_api.server.contract import ALLOWED

        return ALLOWED


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(Config(listeners=(), authorizers=[AllowAll()]))
    await made.start()
    yield made
    await made.stop()


async def ask(server: Server, user: UserInfo, method: str, path: str, body: Any = None) -> Response:
    data = None if body is None else orjson.dumps(body)
    headers = {"Content-Type": "application/json"}
    return await server.transport(user, "tests").request(method, path, headers=headers, body=data)


async def uid(server: Server, plural: str, name: str) -> str:
    answer = await ask(server, ADMIN, "GET", f"{FLOW}/{plural}/{name}")
    return orjson.loads(answer.body)["metadata"]["uid"]


@pytest.mark.parametrize(
    ("user", "path", "schema", "level"),
    [
        pytest.param(ADMIN, MAPS, "exempt", "exempt", id="masters"),
        pytest.param(ALICE, MAPS, "global-default", "global-default", id="a person"),
        pytest.param(ALICE, "/healthz", "probes", "exempt", id="probes"),
        pytest.param(
            UserInfo("system:node:n", groups=("system:nodes",)), "/api/v1/nodes", "system-node-high", "node-high", id="node"
        ),
        pytest.param(
            UserInfo("system:node:n", groups=("system:nodes",)), "/api/v1/pods", "system-nodes", "system", id="node's pods"
        ),
        pytest.param(
            UserInfo("system:serviceaccount:kube-system:x", groups=("system:serviceaccounts",)),
            MAPS,
            "kube-system-service-accounts",
            "workload-high",
            id="system account",
        ),
        pytest.param(
            UserInfo("system:serviceaccount:a:x", groups=("system:serviceaccounts",)),
            MAPS,
            "service-accounts",
            "workload-low",
            id="account",
        ),
    ],
)
async def test_requests_belong_to_the_first_schema_that_matches(
    server: Server, user: UserInfo, path: str, schema: str, level: str
) -> None:
    answer = await ask(server, user, "GET", path)
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == await uid(server, "flowschemas", schema)
    assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == await uid(server, "prioritylevelconfigurations", level)


async def limit_the_mob(server: Server, shares: int = 0) -> None:
    spec: dict[str, Any] = {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}},
    }
    body = {"metadata": {"name": "mob"}, "spec": spec}
    assert (await ask(server, ADMIN, "POST", f"{FLOW}/prioritylevelconfigurations", body)).status == 201
    rules = [
        {
            "subjects": [{"kind": "Group", "group": {"name": "devs"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
        }
    ]
    spec = {"matchingPrecedence": 500, "priorityLevelConfiguration": {"name": "mob"}, "rules": rules}
    body = {"metadata": {"name": "mob"}, "spec": spec}
    assert (await ask(server, ADMIN, "POST", f"{FLOW}/flowschemas", body)).status == 201


async def test_a_level_without_seats_refuses_while_others_go_on(server: Server) -> None:
    await limit_the_mob(server)
    answer = await ask(server, MOB, "GET", MAPS)
    assert (answer.status, answer.body) == (429, b"Too many requests, please try again later.\n")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await ask(server, ALICE, "GET", MAPS)).status == 200


async def test_an_abusive_client_gets_429_while_others_go_on(server: Server) -> None:
    await limit_the_mob(server, shares=1)
    level = server.fairness.levels["mob"]
    gate = asyncio.Event()

    async def slow(request: Request, resource: Any, view: Any) -> Answer:
        if request.user.name == "mob":
            await gate.wait()
        return Answer(200, b"{}")

    server.router.virtual["", "configmaps"] = slow
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(server, MOB, "GET", MAPS)) for _ in range(level.limit + 5)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert level.executing == level.limit
        assert (await ask(server, ALICE, "GET", MAPS)).status == 200
        gate.set()
    codes = sorted(task.result().status for task in asked)
    assert codes == [200] * level.limit + [429] * 5
    assert level.executing == 0
    assert (await ask(server, MOB, "GET", MAPS)).status == 200


async def test_a_failed_request_gives_its_seat_back(server: Server) -> None:
    await limit_the_mob(server, shares=1)
    level = server.fairness.levels["mob"]
    for _ in range(level.limit + 1):
        assert (await ask(server, MOB, "GET", f"{MAPS}/none")).status == 404


async def test_a_level_counts_as_soon_as_it_is_changed(server: Server) -> None:
    await limit_the_mob(server)
    assert (await ask(server, MOB, "GET", MAPS)).status == 429
    await ask(server, ADMIN, "DELETE", f"{FLOW}/flowschemas/mob")
    assert (await ask(server, MOB, "GET", MAPS)).status == 200


async def dangling(server: Server, name: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            tree = orjson.loads((await ask(server, ADMIN, "GET", f"{FLOW}/flowschemas/{name}")).body)
            conditions = (tree.get("status") or {}).get("conditions") or []
            if conditions and conditions[0]["status"] == status:
                return conditions[0]
            await asyncio.sleep(0)


async def test_schemas_say_whether_their_level_exists(server: Server) -> None:
    await limit_the_mob(server)
    references = 'This FlowSchema references the PriorityLevelConfiguration object named "mob"'
    condition = await dangling(server, "mob", "False")
    assert (condition["type"], condition["reason"], condition["message"]) == ("Dangling", "Found", f"{references} and it exists")
    await ask(server, ADMIN, "DELETE", f"{FLOW}/prioritylevelconfigurations/mob")
    condition = await dangling(server, "mob", "True")
    assert (condition["reason"], condition["message"]) == ("NotFound", f"{references} but there is no such object")
    # a schema without level is passed over
    assert (await ask(server, MOB, "GET", MAPS)).status == 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("soon", 'invalid timeout specified in the request URL - time: invalid duration "soon"', id="words"),
        pytest.param("5", 'invalid timeout specified in the request URL - time: missing unit in duration "5"', id="no unit"),
    ],
)
async def test_bad_timeouts_are_refused(server: Server, text: str, message: str) -> None:
    answer = await server.transport(ADMIN).request("GET", MAPS, query={"timeout": text})
    assert (answer.status, orjson.loads(answer.body)["message"]) == (400, message)


async def test_a_request_ends_at_its_own_timeout(server: Server) -> None:
    async def slow(request: Request, resource: Any, view: Any) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    server.router.virtual["", "configmaps"] = slow
    answer = await server.transport(ADMIN).request("GET", MAPS, query={"timeout": "10ms"})
    status = orjson.loads(answer.body)
    assert (answer.status, status["reason"]) == (504, "Timeout")
    assert status["message"] == "Timeout: request did not complete within requested timeout - context deadline exceeded"


async def test_the_state_of_levels_and_queues_is_told(server: Server) -> None:
    level = server.fairness.levels["global-default"]
    level.set_limit(1)
    gate = asyncio.Event()

    async def slow(request: Request, resource: Any, view: Any) -> Answer:
        await gate.wait()
        return Answer(200, b"{}")

    server.router.virtual["", "configmaps"] = slow
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(server, ALICE, "GET", MAPS)) for _ in range(3)]
        while level.waiting < 2:
            await asyncio.sleep(0)
        shown = {}
        for name in ("priority_levels", "queues", "requests"):
            answer = await ask(server, ADMIN, "GET", f"/debug/api_priority_and_fairness/dump_{name}")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            shown[name] = [[cell.strip(" ,") for cell in line.split(",")] for line in answer.body.decode().splitlines()]
        gate.set()
    assert [task.result().status for task in asked] == [200] * 3
    row = next(line for line in shown["priority_levels"] if line[0] == "global-default")
    # the shorter queue of a flow's hand is taken
    assert row[1:6] == ["2", "false", "false", "2", "1"]
    assert sum(int(line[2]) for line in shown["queues"][1:] if line[0] == "global-default") == 2
    assert [line[:2] + line[3:5] for line in shown["requests"][1:]] == [
        ["global-default", "global-default", "0", "alice"],
        ["global-default", "global-default", "0", "alice"],
    ]


async def test_seats_go_where_they_were_wanted(server: Server) -> None:
    fairness = server.fairness
    before = {name: level.limit for name, level in fairness.levels.items()}
    fairness.levels["workload-low"].peak = 600
    fairness.adjust()
    assert fairness.levels["workload-low"].limit > before["workload-low"]
    assert fairness.levels["workload-high"].limit < before["workload-high"]
    assert fairness.levels["catch-all"].limit >= before["catch-all"]


async def test_objects_that_have_to_be_there_are_put_back(server: Server) -> None:
    fairness = server.fairness
    for path in ("flowschemas/exempt", "flowschemas/probes"):
        assert (await ask(server, ADMIN, "DELETE", f"{FLOW}/{path}")).status == 200
    changed = {"spec": {"matchingPrecedence": 5}}
    patch = {"Content-Type": "application/merge-patch+json"}
    transport = server.transport(ADMIN, "tests")
    for name in ("kube-scheduler", "service-accounts"):
        answer = await transport.request("PATCH", f"{FLOW}/flowschemas/{name}", headers=patch, body=orjson.dumps(changed))
        assert answer.status == 200
    mine = {"metadata": {"annotations": {maintenance.AUTOUPDATE: "false"}}}
    await transport.request("PATCH", f"{FLOW}/flowschemas/service-accounts", headers=patch, body=orjson.dumps(mine))
    await maintenance.maintain(server, fairness._schema_trees, fairness._level_trees)
    precedence = {name: tree["spec"]["matchingPrecedence"] for name, tree in fairness._schema_trees.items()}
    assert {"exempt", "probes"} <= precedence.keys()
    assert (precedence["kube-scheduler"], precedence["service-accounts"]) == (800, 5)
