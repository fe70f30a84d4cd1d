"""Image names, archives, the node's store, and containers made from imported images."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from minikube_agents.runtime import references, users
from minikube_agents.runtime.contract import ImageNotFound, Mount, RuntimeError_, SecurityContext
from minikube_agents.runtime.images import HOST, HOST_ID, ImageStore
from minikube_agents.runtime.process import ProcessRuntime
from minikube_agents.runtime.process_config import stop_signal
from minikube_agents.shim.client import Completed
from tests.runtime import archives, nodes
from tests.runtime.nodes import Machine, finished, log_text, pod, run, shell


class Local:
    """Runs what a shim would run, in this process's own rights."""

    async def run(self, argv: Sequence[str], stdin: str = "") -> Completed:
        done = await asyncio.to_thread(subprocess.run, argv, input=stdin, capture_output=True, text=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        assert operation == "remove_tree"
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", arguments["path"]], check=True)
        return {}


@pytest.mark.parametrize(
    ("image", "full"),
    [
        pytest.param("nginx", "docker.io/library/nginx:latest", id="bare"),
        pytest.param("nginx:1.27", "docker.io/library/nginx:1.27", id="tag"),
        pytest.param("me/app", "docker.io/me/app:latest", id="owner"),
        pytest.param("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1", id="registry"),
        pytest.param("localhost/x", "localhost/x:latest", id="localhost"),
        pytest.param("localhost:5000/x", "localhost:5000/x:latest", id="port"),
        pytest.param("index.docker.io/library/x", "docker.io/library/x:latest", id="old name"),
        pytest.param(f"a:1@sha256:{'0' * 64}", f"docker.io/library/a@sha256:{'0' * 64}", id="digest"),
    ],
)
def test_names_are_filled_in(image: str, full: str) -> None:
    assert references.normalize(image) == full


@pytest.mark.parametrize("image", ["", "Nginx", "a:", "a b", "a@sha256:12", "/a", "a//b"])
def test_what_is_no_name_is_refused(image: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        references.normalize(image)
    assert caught.value.reason == "InvalidImageName"


@pytest.mark.parametrize("form", ["docker", "oci"])
async def test_layers_are_applied_with_their_whiteouts(tmp_path: Path, form: str) -> None:
    path = str(tmp_path / "image.tar")
    archive = archives.docker(path, ["app:1"]) if form == "docker" else archives.oci(path, "docker.io/library/app:1")
    store = ImageStore(str(tmp_path / "store"))
    (image,) = await store.load(Local(), archive, tag="second")
    assert image.tags == ("docker.io/library/app:1", "docker.io/library/second:latest")
    assert image.user == "web"
    root = Path(store.content("app:1").root)
    assert sorted(os.listdir(root / "opt")) == ["dir", "hard", "stays"]
    assert os.listdir(root / "opt/dir") == ["new"]
    assert (root / "opt/hard").stat().st_ino == (root / "opt/stays").stat().st_ino
    assert (root / "opt/dir/new").stat().st_mode & 0o777 == 0o755
    assert (root / "opt/dir/new").stat().st_mtime == 1_000_000_000
    assert (root / "usr/lib/through-link").read_text() == "usr"


async def test_a_store_is_shared_named_aliased_and_emptied(tmp_path: Path) -> None:
    store, other = ImageStore(str(tmp_path / "s")), ImageStore(str(tmp_path / "s"))
    (image,) = await store.load(Local(), archives.docker(str(tmp_path / "i.tar"), ["app:1"]))
    assert other.pull("app:1").id == image.id
    other.alias("app:1", "other/name:2")
    other.alias("host", "nginx")
    assert store.pull("nginx").id == HOST_ID
    assert {each.id for each in store.images()} == {HOST_ID, image.id}
    await other.remove(Local(), "app:1")
    assert store.status("app:1") is None
    found = store.status("other/name:2")
    assert found and found.tags == ("docker.io/other/name:2",)
    await other.remove(Local(), found.id)
    assert store.status("other/name:2") is None
    assert not os.path.exists(tmp_path / "s" / image.id.removeprefix("sha256:"))
    await other.remove(Local(), "nginx")
    assert store.status("nginx") is None
    assert store.pull("host").tags == (HOST,)


async def test_what_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    with pytest.raises(
        ImageNotFound, match=r'failed to pull image "redis": docker.io/library/redis:latest is not .*minictl image import'
    ):
        store.pull("redis")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"x": b""}, "neither a docker-save nor an OCI archive", id="other tar"),
        pytest.param({"manifest.json": b'[{"Config":"c","Layers":[]}]'}, "the archive lacks c", id="no config"),
    ],
)
async def test_a_wrong_archive_is_told(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    store = ImageStore(str(tmp_path / "s"))
    with pytest.raises(RuntimeError_, match=message):
        await store.load(Local(), archives._write(str(tmp_path / "bad.tar"), files))
    (tmp_path / "no.tar").write_text("no tar")
    with pytest.raises(RuntimeError_, match=r"no\.tar"):
        await store.load(Local(), str(tmp_path / "no.tar"))


async def test_an_entry_cannot_leave_the_image(tmp_path: Path) -> None:
    evil: list[archives.Entry] = [("out", "link", "/../../../..", 0o777), (f"out{tmp_path}/evil", "file", "x", 0o644)]
    store = ImageStore(str(tmp_path / "s"))
    await store.load(Local(), archives.docker(str(tmp_path / "i.tar"), ["evil"], (evil,)))
    assert not (tmp_path / "evil").exists()
    store = ImageStore(str(tmp_path / "other"))
    with pytest.raises(RuntimeError_, match="leaves the image"):
        await store.load(Local(), archives.docker(str(tmp_path / "j.tar"), ["e"], ([("../x", "file", "", 0o644), *evil],)))
    assert os.listdir(tmp_path / "other") == []


def test_users_come_from_the_images_own_tables(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(archives.BASE[1][2])
    (tmp_path / "etc/group").write_text(archives.BASE[2][2])
    root = str(tmp_path)
    assert users.resolve(root, "web", SecurityContext()) == users.Identity(1234, 4321, (4321, 77), "/srv/app")
    assert users.resolve(root, "web:extra", SecurityContext(supplemental_groups=(5,))).groups == (77, 5)
    assert users.resolve(root, "web", SecurityContext(run_as_user=9)) == users.Identity(9, 0, (0,), "/")
    assert users.resolve(root, "", SecurityContext(run_as_group=8)).gid == 8
    with pytest.raises(RuntimeError_, match="unable to find user nobody: no matching entries in passwd file"):
        users.resolve(root, "nobody", SecurityContext())


def test_stop_signals() -> None:
    assert [stop_signal(name) for name in ("", "SIGUSR1", "quit", "9")] == [15, 10, 3, 9]


@nodes.needs_namespaces
async def test_a_container_of_an_imported_image(machine: Machine, runtime: ProcessRuntime, tmp_path: Path) -> None:
    """The image's entry point, command, environment, user and directory; its programs are the machine's, mounted in."""
    path = os.path.join(machine.directory, f"image-{os.urandom(4).hex()}.tar")
    await runtime.import_image(archives.docker(path, ["demo:1"]))
    sandbox = await runtime.run_sandbox(pod(machine))
    mounts = (Mount(host_path="/usr", container_path="/usr", read_only=True),)
    plain = shell("", command=None, image="demo:1", mounts=mounts, security=SecurityContext(run_as_user=0))
    status = await finished(runtime, await run(runtime, sandbox, plain))
    assert log_text(status) == "from the image\n0\n/srv/app\n"
    if runtime._many_ids:
        status = await finished(
            runtime, await run(runtime, sandbox, shell("", command=None, image="demo:1", mounts=mounts, name="u"))
        )
        assert log_text(status) == "from the image\n1234\n/srv/app\n"
    script = "trap 'exit 9' USR1; echo up; while :; do sleep 0.01; done"
    config = shell(
        "", command=None, args=(script,), image="demo:1", mounts=mounts, name="sig", security=SecurityContext(run_as_user=0)
    )
    container = await run(runtime, sandbox, config)
    while "up" not in log_text(await runtime.container_status(container)):
        await asyncio.sleep(0.005)
    await runtime.stop_container(container, 10)
    status = await runtime.container_status(container)
    assert (status.exit_code, status.image, status.image_id.partition(":")[0]) == (9, "demo:1", "sha256")
    await runtime.remove_image("demo:1")
    assert await runtime.image_status("demo:1") is None
