"""What the API server acknowledged outlives it, however and whenever it is killed; a revision is given once."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_processes import TOKEN, ApiServer, api_server

ROUNDS = 50
SEED = 20
LANES = 4
PATH = "/api/v1/namespaces/default/configmaps"


@contextlib.contextmanager
def writing(server: ApiServer, record: Path) -> Iterator[None]:
    program = Path(__file__).parent / "acknowledged_writer.py"
    command = [sys.executable, "-S", "-E", str(program), server.url, str(server.ca), TOKEN, str(record), str(LANES)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
        assert process.poll() is None, "the writer ended by itself"
    finally:
        process.kill()
        process.communicate()


class Ledger:
    """All that was ever acknowledged or seen: which object and content each revision belongs to."""

    def __init__(self, record: Path) -> None:
        self.record, self.read = record, 0
        self.writes: dict[int, tuple[str, str]] = {}
        #: name -> newest acknowledged revision
        self.newest: dict[str, int] = {}
        self.unchecked: set[str] = set()

    def take_acknowledged(self) -> None:
        with self.record.open() as file:
            file.seek(self.read)
            lines = file.read().splitlines()
            self.read = file.tell()
        for line in lines:
            verb, name, revision, value = line.split(" ", 3)
            assert verb in ("POST", "PUT"), f"a write was refused: {line}"
            self.note(int(revision), name, value)
            self.newest[name] = max(self.newest.get(name, 0), int(revision))
            self.unchecked.add(name)

    def note(self, revision: int, name: str, value: str) -> None:
        known = self.writes.setdefault(revision, (name, value))
        assert known == (name, value), f"revision {revision} was given to {known} and to {(name, value)}"

    def check(self, name: str, tree: dict) -> None:
        """The object stands as it was acknowledged, or as a later write made it whose answer was lost."""
        revision, value = int(tree["metadata"]["resourceVersion"]), tree["data"]["value"]
        self.note(revision, name, value)
        assert revision >= self.newest[name], f"{name} fell back from {self.newest[name]} to {revision}"
        if revision > self.newest[name]:
            before = self.writes[self.newest[name]][1]
            assert int(value.split(".")[1]) == int(before.split(".")[1]) + 1, f"{name}: {value} follows {before}"


@pytest.mark.timeout(120)
def test_every_acknowledged_write_and_revision_survives_fifty_kills(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    record = tmp_path / "record"
    with api_server(tmp_path / "data") as server, writing(server, record):
        ledger = Ledger(record)
        http, last = server.http(), 0
        for round_number in range(ROUNDS):
            time.sleep(chance.uniform(0.0, 0.25))
            server.kill()
            server.start()
            http.close()
            ledger.take_acknowledged()
            for name in sorted(ledger.unchecked):
                tree = http.find(f"{PATH}/{name}")
                assert tree is not None, f"round {round_number}: {name} is lost"
                ledger.check(name, tree)
            ledger.unchecked.clear()
            # the server's own count goes on: what it gives now is newer than all before the kill
            now = int(http.get(f"{PATH}?limit=1")["metadata"]["resourceVersion"])
            assert now >= max(ledger.newest.values(), default=0) and now >= last
            last = now
        server.kill()
        server.start()
        http.close()
        ledger.take_acknowledged()
        listed = {tree["metadata"]["name"]: tree for tree in http.get(PATH)["items"]}
        for name in ledger.newest:
            ledger.check(name, listed[name])
        revisions = [int(tree["metadata"]["resourceVersion"]) for tree in listed.values()]
        assert len(set(revisions)) == len(revisions)
        assert len(ledger.writes) > 10 * ROUNDS, "the writer hardly wrote: this shows nothing"
