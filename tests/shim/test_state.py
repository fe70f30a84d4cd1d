"""The state file, the clean-up journal, and who a process is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_agents.shim import identity, journal
from minikube_agents.shim.state import StateFile

CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.dictionaries(st.sampled_from("xy"), st.integers(), max_size=2))
)


@given(CHANGES)
def test_a_reopened_state_is_what_was_put(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, dict[str, int] | None]]
) -> None:
    path = str(tmp_path_factory.mktemp("state") / "state")
    state, model = StateFile(path), {}
    for key, change in changes:
        if change is None:
            state.delete("container", key)
            model.pop(key, None)
        else:
            state.put("container", key, change)
            model[key] = {**model.get(key, {}), **change}
    state.close()
    again = StateFile(path)
    assert again.tables["container"] == model
    again.close()


def test_a_torn_line_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = StateFile(str(path))
    state.put("sandbox", "a", {"n": 1}, durable=True)
    state.close()
    with path.open("ab") as file:
        file.write(b'["sandbox","b",{"n":')
    again = StateFile(str(path))
    assert again.tables["sandbox"] == {"a": {"n": 1}}
    again.put("sandbox", "c", {"n": 3})
    again.close()
    last = StateFile(str(path))
    assert set(last.tables["sandbox"]) == {"a", "c"}
    last.close()


def test_the_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = StateFile(str(path))
    for number in range(5000):
        state.put("container", "a", {"n": number})
    assert path.stat().st_size < 100_000
    assert state.tables["container"]["a"] == {"n": 4999}
    state.close()


def test_a_full_disk_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    path = str(tmp_path / "state")
    state = StateFile(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        state.put("container", "a", {"exit_code": 7}, durable=True)
        state.put("container", "b", {"exit_code": 8}, durable=True)
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert state.tables["container"]["a"] == {"exit_code": 7}
    state.put("container", "c", {"exit_code": 9})
    state.close()
    again = StateFile(path)
    assert {key: record["exit_code"] for key, record in again.tables["container"].items()} == {"a": 7, "b": 8, "c": 9}
    again.close()


def test_a_process_is_known_by_more_than_its_pid() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = identity.of(process.pid)
    other = [known[0], int(known[1]) + 1, known[2]]
    rebooted = [known[0], known[1], "another boot"]
    assert identity.is_alive(known)
    assert not identity.is_alive(other)
    assert not identity.kill(other, 9)
    assert not identity.kill(rebooted, 9)
    assert process.poll() is None
    assert identity.kill(known, 9)
    process.communicate()
    assert not identity.is_alive(known)
    assert not identity.kill(known, 9)


def test_cleanup_ends_processes_and_forgets(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    book = journal.Journal(path)
    for _ in range(2):
        book.write("process", identity=identity.of(process.pid), name="stubborn")
    assert len(journal.read(path)) == 1
    assert journal.cleanup(path, patience=0.05) == []
    assert process.wait() == -9
    process.communicate()
    assert not os.path.exists(path)
    assert journal.cleanup(path) == []


def test_what_cannot_be_removed_is_told_and_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    journal.Journal(path).write("sysctl", path=str(tmp_path / "no" / "such"), was="0")
    (problem,) = journal.cleanup(path)
    assert "no/such" in problem
    assert len(journal.read(path)) == 1


def test_a_sysctl_is_put_back(tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    setting.write_text("1")
    path = str(tmp_path / "journal")
    journal.Journal(path).write("sysctl", path=str(setting), was="0")
    assert journal.cleanup(path) == []
    assert setting.read_text() == "0"


def test_unreadable_journal_lines_are_told_once_and_the_others_acted_on(tmp_path: Path) -> None:
    path, sysctl = tmp_path / "journal", tmp_path / "sysctl"
    entry = f'{{"kind": "sysctl", "path": "{sysctl}", "was": "0"}}'
    path.write_bytes(b'\xff\x00\nword\n{"kind": "cgroup"}\n[]\n{"kind": "unheard-of"}\n' + entry.encode() + b'\n{"torn')
    assert journal.cleanup(str(path)) == [f"what 5 unreadable lines of {path} named"]
    assert sysctl.read_text() == "0"
    assert journal.cleanup(str(path)) == []
