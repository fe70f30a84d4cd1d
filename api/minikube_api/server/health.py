"""/healthz, /livez and /readyz with their named checks, ?verbose and ?exclude (Kubernetes API health endpoints)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from minikube_api.server.context import Answer, Request, truthy

TEXT = "text/plain; charset=utf-8"
#: raises when the server is not well; the message goes to the log, never to the client
Check = Callable[[], Awaitable[None]]
NOT_FOUND = Answer(404, b"404 page not found\n", TEXT)


class Health:
    """Named checks in order. `live` ones are asked by all three endpoints, `ready` ones by /readyz and /healthz too."""

    def __init__(self, live: dict[str, Check], ready: dict[str, Check], log: Callable[[str, Exception], None]) -> None:
        self._log = log
        self._checks = {"livez": live, "readyz": {**live, **ready}, "healthz": {**live, **ready}}

    async def answer(self, request: Request) -> Answer | None:
        """None for paths that are no health endpoint."""
        root, _, one = request.path.strip("/").partition("/")
        checks = self._checks.get(root)
        if checks is None:
            return None
        if one:
            check = checks.get(one)
            if check is None:
                return NOT_FOUND
            failed = await self._failed(one, check)
            return Answer(500, f"internal server error: {failed}".encode(), TEXT) if failed else Answer(200, b"ok", TEXT)
        excluded = set(request.query.get("exclude", "").split(",")) - {""}
        lines: list[str] = []
        bad = False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif await self._failed(name, check):
                lines.append(f"[-]{name} failed: reason withheld")
                bad = True
            else:
                lines.append(f"[+]{name} ok")
        unknown = excluded - set(checks)
        if unknown:
            listed = ",".join(f'"{name}"' for name in sorted(unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        if bad:
            return Answer(500, ("\n".join(lines) + f"\n{root} check failed\n").encode(), TEXT)
        if "verbose" in request.query and truthy(request.query["verbose"]):
            return Answer(200, ("\n".join(lines) + f"\n{root} check passed\n").encode(), TEXT)
        return Answer(200, b"ok", TEXT)

    async def _failed(self, name: str, check: Check) -> str:
        try:
            await check()
        except Exception as error:
            self._log(name, error)
            return f"{name} failed"
        return ""
