"""`minictl image`: an archive as docker save writes it becomes an image that a pod runs, under its name and an alias; then it is removed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_processes import wait_for
from clusters import PODS, Cluster, running

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="runs a cluster as root")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running("--nodes", "1") as made:
        yield made


def shell_files() -> dict[str, bytes]:
    """The machine's shell with what it is linked to, by path in the image."""
    program = os.path.realpath("/bin/sh")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    paths = re.findall(r"(/\S+) \(0x", linked)
    return {"bin/sh": Path(program).read_bytes(), **{p.lstrip("/"): Path(p).read_bytes() for p in paths}}


def archive(path: Path, tag: str) -> Path:
    """What `docker save` of an image of one layer gives."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, data in {**shell_files(), "etc/motd": b"from the archive\n"}.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, len(data)
            tar.addfile(info, io.BytesIO(data))
    diff = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "-c", "read line < /etc/motd; echo $line $WHO"], "Env": ["WHO=image"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer/layer.tar"]}]
    files = {
        "layer/layer.tar": layer.getvalue(),
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def image(cluster: Cluster, verb: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return cluster.minictl("image", verb, "--name", cluster.name, *arguments, check=check)


def output_of(cluster: Cluster, name: str, image: str) -> str:
    """What a pod of the image's own command writes."""
    container = {"name": "c", "image": image, "imagePullPolicy": "Never"}
    spec = {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False}
    cluster.http.ok("POST", PODS, {"metadata": {"name": name}, "spec": spec})
    wait_for(lambda: cluster.pod(name)["status"].get("phase") == "Succeeded", f"the end of {name}")
    return cluster.log(name)


def test_an_archive_becomes_an_image_that_pods_run(cluster: Cluster, tmp_path: Path) -> None:
    saved = archive(tmp_path / "app.tar", "registry.example/app:1")
    assert image(cluster, "import", str(saved)).stdout == "imported registry.example/app:1\n"
    listed = image(cluster, "list").stdout.splitlines()
    assert listed[0].split() == ["IMAGE", "ID", "SIZE"]
    assert [line.split()[0] for line in listed[1:] if "app" in line] == ["registry.example/app:1"]
    assert output_of(cluster, "first", "registry.example/app:1") == "from the archive image\n"

    image(cluster, "alias", "registry.example/app:1", "short:1")
    assert output_of(cluster, "second", "short:1") == "from the archive image\n"
    for name in ("first", "second"):
        cluster.http.ok("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")

    assert image(cluster, "rm", "registry.example/app:1").stdout == "removed registry.example/app:1\n"
    again = image(cluster, "rm", "registry.example/app:1", check=False)
    assert (again.returncode, again.stderr) == (1, 'Error: image "registry.example/app:1" not found\n')


def test_a_file_that_is_no_archive_is_refused_in_one_line(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    done = image(cluster, "import", str(tmp_path / "text"), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
