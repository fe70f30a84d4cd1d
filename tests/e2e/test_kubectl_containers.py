"""kubectl 1.37 inside containers: logs, exec, attach, cp, port-forward, run, debug."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.clusters import Program, eventually
from tests.e2e.manifests import deployment, pod, service, shell, web
from tests.e2e.ways import both_ways


def ready(kubectl: Program, *names: str) -> None:
    kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=30s")


class Terminal:
    """kubectl with a terminal of the test's own."""

    def __init__(self, kubectl: Program, *arguments: str) -> None:
        self.primary, secondary = pty.openpty()
        self.process = subprocess.Popen(
            kubectl.argv(*arguments),
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env=kubectl.environment,
            start_new_session=True,
        )
        os.close(secondary)
        self.text = ""

    def type(self, keys: str) -> None:
        os.write(self.primary, keys.encode())

    def until(self, pattern: str, limit: float = 20.0) -> re.Match[str]:
        end = time.monotonic() + limit
        while not (found := re.search(pattern, self.text)):
            if not select.select([self.primary], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} did not come in {limit} s: {self.text!r}")
            try:
                self.text += os.read(self.primary, 4096).decode()
            except OSError as error:  # EIO: the other end closed
                raise AssertionError(f"{pattern!r} did not come: {self.text!r}") from error
        self.text = self.text[found.end() :]
        return found

    def close(self) -> int:
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait(10)
            os.close(self.primary)


# --- logs ---------------------------------------------------------------------------------------------------------------


@both_ways
def test_logs_follow_until_the_container_ends(kubectl: Program) -> None:
    script = "echo first; until [ -e /tmp/go ]; do sleep 0.02; done; echo second; exit 0"
    kubectl.apply(pod("talker", shell(script), restartPolicy="Never"))
    ready(kubectl, "talker")
    with kubectl.running("logs", "--follow", "talker") as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "first\n"
        kubectl("exec", "talker", "--", "touch", "/tmp/go")
        assert logs.stdout.readline() == "second\n"
        assert logs.stdout.read() == ""
        assert logs.wait(20) == 0


def test_logs_are_cut_by_lines_bytes_and_time(kubectl: Program) -> None:
    kubectl.apply(pod("lines", shell("for i in 1 2 3 4 5; do echo line $i; done; echo to stderr >&2; sleep 1000")))
    ready(kubectl, "lines")
    eventually(lambda: "to stderr" in kubectl("logs", "lines").out)
    everything = kubectl("logs", "lines").lines
    assert sorted(everything) == [f"line {i}" for i in range(1, 6)] + ["to stderr"]
    assert kubectl("logs", "lines", "--tail=2").lines == everything[-2:]
    assert kubectl("logs", "lines", "--limit-bytes=9").out == "line 1\nli"
    stamped = kubectl("logs", "lines", "--timestamps").lines
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (line \d|to stderr)", line) for line in stamped)
    assert kubectl("logs", "lines", "--since=1h").lines == everything
    assert kubectl("logs", "lines", "--since-time=2100-01-01T00:00:00Z").out == ""
    assert kubectl("logs", "lines", "--prefix", "--tail=1").out.startswith("[pod/lines/main] ")


def test_logs_of_the_previous_container(kubectl: Program) -> None:
    script = "if [ -e /data/seen ]; then echo again; sleep 1000; fi; touch /data/seen; echo once; exit 3"
    mounted = shell(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    kubectl.apply(pod("fell", mounted, volumes=[{"name": "data", "emptyDir": {}}]))
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/fell", "--timeout=30s")
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.running}", "pod/fell", "--timeout=30s")
    eventually(lambda: kubectl("logs", "fell").out == "again\n")
    assert kubectl("logs", "fell", "--previous").out == "once\n"


def test_logs_of_one_container_and_of_all(kubectl: Program) -> None:
    kubectl.apply(pod("pair", shell("echo from a; sleep 1000", name="a"), shell("echo from b; sleep 1000", name="b")))
    ready(kubectl, "pair")
    assert kubectl("logs", "pair", "-c", "b").out == "from b\n"
    assert kubectl("logs", "pair", "--all-containers").lines == ["from a", "from b"]
    assert 'Defaulted container "a" out of: a, b' in kubectl("logs", "pair").err
    refused = kubectl("logs", "pair", "-c", "c", check=False)
    assert (refused.code, "container c is not valid for pod pair" in refused.err) == (1, True)


def test_logs_by_selector_and_owner(kubectl: Program) -> None:
    kubectl.apply(deployment("chorus", shell("echo la; sleep 1000"), replicas=2))
    kubectl("rollout", "status", "deployment/chorus", "--timeout=30s")
    eventually(lambda: kubectl("logs", "-l", "app=chorus").lines == ["la", "la"])
    assert kubectl("logs", "deployment/chorus").out == "la\n"


def test_logs_of_a_container_that_cannot_start(kubectl: Program) -> None:
    kubectl.apply(pod("imageless", {"name": "main", "image": "nowhere.invalid/none:1"}))
    kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}", "pod/imageless", "--timeout=20s")
    refused = kubectl("logs", "imageless", check=False)
    assert refused.code == 1
    assert 'container "main" in pod "imageless" is waiting to start: ' in refused.err


# --- exec ---------------------------------------------------------------------------------------------------------------


@both_ways
def test_exec_parts_the_streams_and_passes_the_code(kubectl: Program) -> None:
    kubectl.apply(pod("shell"))
    ready(kubectl, "shell")
    result = kubectl("exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 42", check=False)
    assert (result.out, result.code) == ("out\n", 42)
    assert result.err == "err\ncommand terminated with exit code 42\n"
    echoed = kubectl("exec", "-i", "shell", "--", "sh", "-c", "read a; echo got $a; cat | wc -c", stdin="word\n" + "x" * 300_000)
    assert echoed.out.split() == ["got", "word", "300000"]


def test_exec_of_a_missing_program_and_pod(kubectl: Program) -> None:
    kubectl.apply(pod("bare"))
    ready(kubectl, "bare")
    missing = kubectl("exec", "bare", "--", "no-such-program", check=False)
    assert missing.code != 0
    assert 'exec: "no-such-program": executable file not found in $PATH' in missing.err
    assert 'pods "nobody" not found' in kubectl("exec", "nobody", "--", "true", check=False).err
    assert "container x is not valid for pod bare" in kubectl("exec", "bare", "-c", "x", "--", "true", check=False).err


def test_exec_gives_much_output_whole(kubectl: Program) -> None:
    kubectl.apply(pod("loud"))
    ready(kubectl, "loud")
    out = kubectl("exec", "loud", "--", "seq", "200000").out
    assert out == "".join(f"{i}\n" for i in range(1, 200_001))


@both_ways
def test_exec_with_a_terminal(kubectl: Program) -> None:
    kubectl.apply(pod("terminal"))
    ready(kubectl, "terminal")
    terminal = Terminal(kubectl, "exec", "-it", "terminal", "--", "sh")
    try:
        terminal.type("test -t 0 && echo is-a-$((1))-tty\n")
        terminal.until("is-a-1-tty")
        terminal.type("stty size\n")
        terminal.until(r"\d+ \d+")
        terminal.type("sleep 1000\n")
        terminal.until("sleep 1000")
        time.sleep(0.2)  # until the shell has given the terminal to sleep: nothing tells
        terminal.type("\x03")
        terminal.type("echo interrupted-$((1+1)); exit 5\n")
        terminal.until("interrupted-2")
        terminal.until("exit code 5")
    finally:
        assert terminal.close() == 5


def test_terminal_is_resized(kubectl: Program) -> None:
    import fcntl
    import struct
    import termios

    kubectl.apply(pod("resized"))
    ready(kubectl, "resized")
    terminal = Terminal(kubectl, "exec", "-it", "resized", "--", "sh")
    try:
        fcntl.ioctl(terminal.primary, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        terminal.type("echo started-$((3))\n")
        terminal.until("started-3")
        os.killpg(terminal.process.pid, signal.SIGWINCH)
        terminal.type("until [ \"$(stty size)\" = '33 111' ]; do sleep 0.05; done; echo sized-$((4))\n")
        terminal.until("sized-4")
        terminal.type("exit\n")
    finally:
        assert terminal.close() == 0


def test_attach_reads_and_writes_the_main_process(kubectl: Program) -> None:
    script = "while read line; do echo heard $line; [ $line = bye ] && exit 0; done; sleep 1000"
    kubectl.apply(pod("ear", shell(script, stdin=True, stdinOnce=True), restartPolicy="Never"))
    ready(kubectl, "ear")
    with kubectl.running("attach", "-i", "ear", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "heard hello\n"
        attached.stdin.write("bye\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "heard bye\n"
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ear", "--timeout=20s")


def test_run_attached_gives_output_and_removes_the_pod(kubectl: Program) -> None:
    command = ("run", "brief", "--image=host", "--restart=Never", "-i", "--rm", "--quiet", "--command", "--")
    result = kubectl(*command, "sh", "-c", "read a; echo read $a", stdin="word\n")
    assert result.lines[0] == "read word"
    assert kubectl("get", "pod", "brief", check=False).code == 1


def test_debug_adds_a_container_to_a_running_pod(kubectl: Program) -> None:
    kubectl.apply(pod("patient", shell("exec sleep 1234")))
    ready(kubectl, "patient")
    kubectl(
        "debug",
        "patient",
        "--image=host",
        "--target=main",
        "--container=doctor",
        "--profile=general",
        "--",
        "sh",
        "-c",
        "cat /proc/1/cmdline",
    )
    kubectl(
        "wait",
        "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=0",
        "pod/patient",
        "--timeout=20s",
    )
    assert kubectl("logs", "patient", "-c", "doctor").out == "sleep\x001234\x00", "it sees the processes of its target"


# --- files and ports ----------------------------------------------------------------------------------------------------


@both_ways
def test_cp_takes_files_and_directories_both_ways(kubectl: Program, tmp_path: Path) -> None:
    kubectl.apply(pod("store"))
    ready(kubectl, "store")
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "blob").write_bytes(os.urandom(500_000))
    (tree / "text").write_text("words\n")
    kubectl("cp", str(tree), "store:/tmp/tree")
    assert kubectl("exec", "store", "--", "cat", "/tmp/tree/text").out == "words\n"
    kubectl("exec", "store", "--", "sh", "-c", "echo more >> /tmp/tree/text")
    back = tmp_path / "back"
    kubectl("cp", "store:/tmp/tree", str(back))
    assert (back / "deep" / "blob").read_bytes() == (tree / "deep" / "blob").read_bytes()
    assert (back / "text").read_text() == "words\nmore\n"


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


@both_ways
@pytest.mark.parametrize("target", ["pod/door", "service/door"])
def test_port_forward_reaches_a_pod(kubectl: Program, target: str) -> None:
    kubectl.apply(pod("door", web()), service("door", target="http"))
    ready(kubectl, "door")
    kubectl("wait", "--for=jsonpath={.subsets[0].addresses}", "endpoints/door", "--timeout=20s")
    port = "8080" if target.startswith("pod") else "80"
    with kubectl.running("port-forward", target, f":{port}") as forward:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        found = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n", line)
        assert found, line + forward.stdout.read()
        for _ in range(3):
            assert eventually(lambda: fetch(f"http://127.0.0.1:{found[1]}/")) == "door"


def test_port_forward_to_a_closed_port_says_so(kubectl: Program) -> None:
    kubectl.apply(pod("shut"))
    ready(kubectl, "shut")
    with kubectl.running("port-forward", "pod/shut", ":9999") as forward:
        assert forward.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=5) as caller:
            assert caller.recv(1) == b""
        while "refused" not in (line := forward.stdout.readline()):
            assert line


def test_proxy_of_the_api_reaches_pods_and_services(kubectl: Program, namespace: str) -> None:
    kubectl.apply(pod("behind", web()), service("behind", target="http"))
    ready(kubectl, "behind")
    kubectl("wait", "--for=jsonpath={.subsets[0].addresses}", "endpoints/behind", "--timeout=20s")
    base = f"/api/v1/namespaces/{namespace}"
    assert kubectl("get", "--raw", f"{base}/pods/behind:8080/proxy/").out == "behind"
    assert kubectl("get", "--raw", f"{base}/services/behind:http/proxy/").out == "behind"
