"""A full disk: the write fails and says so, the server stops, and with room again nothing acknowledged is missing."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_processes import ApiServer, wait_for

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs: needs root"),
]
PATH = "/api/v1/namespaces/default/configmaps"


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_fails_the_write_stops_the_server_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        server = ApiServer(disk / "data")
        server.tokens = tmp_path / "tokens.csv"
        server.tokens.write_text((disk / "tokens.csv").read_text())
        server.log = tmp_path / "server.log"
        try:
            server.start()
            client = server.http()
            acknowledged: dict[str, str] = {}
            failure = None
            for number in range(200):
                name = f"m{number}"
                body = {"metadata": {"name": name}, "data": {"text": "x" * 200_000}}
                try:
                    status, tree = client("POST", PATH, body)
                except (OSError, http.client.HTTPException) as error:
                    pytest.fail(f"the connection broke in place of an answer: {error!r}")
                if status != 201:
                    failure = (status, tree)
                    break
                acknowledged[name] = tree["metadata"]["resourceVersion"]
            assert failure is not None, "the disk never filled"
            status, tree = failure
            assert (status, tree["kind"], tree["reason"]) == (500, "Status", "InternalError")
            assert "full" in tree["message"]
            assert server.process is not None
            wait_for(lambda: server.process is not None and server.process.poll() is not None, "the end of the server")
            assert server.process.returncode != 0
            assert "full" in server.log.read_text()

            subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
            server.start()
            client.close()
            there = {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in client.get(PATH)["items"]}
            there.pop("kube-root-ca.crt", None)
            assert acknowledged and acknowledged.items() <= there.items()
            after = client.ok("POST", PATH, {"metadata": {"name": "after"}})
            assert int(after["metadata"]["resourceVersion"]) > max(map(int, acknowledged.values()))
        finally:
            if server.process is not None:
                server.process.kill()
                server.process.wait()
