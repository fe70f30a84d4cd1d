"""Volumes on disk: the atomic writer, payloads, mounts, hostPath checks."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_builders import NOW, pod

from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.environment import ConfigError, Sources
from minikube_agents.kubelet.volumes import atomic_writer, mounting, payloads
from minikube_agents.kubelet.volumes.atomic_writer import File
from minikube_agents.kubelet.volumes.image_volumes import ImageVolumes
from minikube_agents.kubelet.volumes.payloads import VolumeError
from minikube_agents.runtime.contract import ImageNotFound
from minikube_api.schema.typed import core_v1 as v1

AROUND = Surroundings(("10.244.0.5",), ("192.168.49.2",), {"cpu": "4", "memory": "8Gi"})


def contents(volume: Path) -> dict[str, bytes]:
    """What a reader sees: the visible names, followed."""
    found = {}
    for entry in volume.iterdir():
        if entry.name.startswith(".."):
            continue
        files = [entry] if entry.is_file() else [p for p in entry.rglob("*") if p.is_file()]
        found |= {str(p.relative_to(volume)): p.read_bytes() for p in files}
    return found


def test_a_write_gives_the_documented_layout(tmp_path: Path) -> None:
    assert atomic_writer.write(tmp_path, {"a": File(b"1", 0o640), "dir/b": File(b"2")}, now=NOW)
    assert contents(tmp_path) == {"a": b"1", "dir/b": b"2"}
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "dir") == "..data/dir"
    assert os.readlink(tmp_path / "..data") == "..2023_11_14_22_13_20.000000000"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_equal_write_changes_nothing(tmp_path: Path) -> None:
    payload = {"a": File(b"1")}
    atomic_writer.write(tmp_path, payload, now=NOW)
    before = os.readlink(tmp_path / "..data")
    assert not atomic_writer.write(tmp_path, payload, now=NOW + 1)
    assert os.readlink(tmp_path / "..data") == before


def test_a_change_swaps_everything_and_leaves_no_rest(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1"), "gone/x": File(b"x")}, now=NOW)
    assert atomic_writer.write(tmp_path, {"a": File(b"2"), "new": File(b"n")}, now=NOW + 1)
    assert contents(tmp_path) == {"a": b"2", "new": b"n"}
    assert len([p for p in tmp_path.iterdir() if p.name.startswith("..2")]) == 1


NAMES = st.sampled_from(["a", "b", "d/x", "d/y", "e/f/g"])


@given(st.lists(st.dictionaries(NAMES, st.binary(max_size=8), max_size=4), max_size=4))
def test_after_any_writes_readers_see_the_last(tmp_path_factory: pytest.TempPathFactory, writes: list[dict[str, bytes]]) -> None:
    volume = tmp_path_factory.mktemp("volume")
    for i, payload in enumerate(writes):
        atomic_writer.write(volume, {name: File(data) for name, data in payload.items()}, now=NOW + i)
    assert contents(volume) == (writes[-1] if writes else {})


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data/x", ""])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        atomic_writer.write(tmp_path, {path: File(b"")}, now=NOW)


CONFIG = msgspec.convert({"metadata": {"name": "m"}, "data": {"k": "v"}, "binaryData": {"b": "AAE="}}, v1.ConfigMap)
SOURCES = Sources({"m": CONFIG, "none": None}, {"s": v1.Secret(data={"p": b"w"})})


def payload(volume: dict[str, Any], **spec: Any) -> dict[str, tuple[bytes, int]]:
    one = pod("a", volumes=[{"name": "v", **volume}], **spec)
    files = payloads.of(one, one.spec.volumes[0], SOURCES, AROUND, {("v", "token"): "t0ken"})
    assert files is not None
    return {path: (file.data, file.mode) for path, file in files.items()}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({"configMap": {"name": "m"}}, {"k": (b"v", 0o644), "b": (b"\0\1", 0o644)}, id="all keys"),
        pytest.param({"configMap": {"name": "m", "defaultMode": 0o400, "items": [{"key": "k", "path": "x/y"}]}}, {"x/y": (b"v", 0o400)}, id="items"),
        pytest.param({"configMap": {"name": "m", "items": [{"key": "k", "path": "x", "mode": 0o755}]}}, {"x": (b"v", 0o755)}, id="item mode"),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param({"secret": {"secretName": "s"}}, {"p": (b"w", 0o644)}, id="secret"),
        pytest.param({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}, {"n": (b"a", 0o644)}, id="downward"),
        pytest.param(
            {"projected": {"sources": [
                {"configMap": {"name": "m", "items": [{"key": "k", "path": "c"}]}}, {"secret": {"name": "s"}},
                {"serviceAccountToken": {"path": "token"}},
            ]}},
            {"c": (b"v", 0o644), "p": (b"w", 0o644), "token": (b"t0ken", 0o644)}, id="projected",
        ),
    ],
)  # fmt: skip
def test_payloads(volume: dict[str, Any], expected: dict[str, tuple[bytes, int]]) -> None:
    assert payload(volume) == expected


def test_a_token_belongs_to_the_one_user_of_the_pod() -> None:
    one = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    assert payload(one, securityContext={"runAsUser": 1000})["token"][1] == 0o600


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        pytest.param({"configMap": {"name": "none"}}, 'configmap "none" not found', id="no ConfigMap"),
        pytest.param({"secret": {"secretName": "x"}}, 'secret "x" not found', id="no Secret"),
        pytest.param(
            {"configMap": {"name": "m", "items": [{"key": "x", "path": "x"}]}},
            "configmap references non-existent config key: x",
            id="no key",
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}},
            "ClusterTrustBundle projection is not supported by this node",
            id="trust bundle",
        ),
    ],
)
def test_what_a_volume_lacks_is_said(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeError) as caught:
        payload(volume)
    assert str(caught.value) == message


def mounts(tmp_path: Path, **mount: Any) -> Any:
    one = pod("a", {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/m", **mount}]})
    return mounting.mounts(one.spec.containers[0], {"v": tmp_path}, {"A": "x"}, frozenset())


def test_sub_paths_are_made_and_expanded(tmp_path: Path) -> None:
    (found,) = mounts(tmp_path, subPathExpr="$(A)/y", readOnly=True)
    assert (found.host_path, found.container_path, found.read_only) == (str(tmp_path / "x/y"), "/m", True)
    assert (tmp_path / "x/y").is_dir()


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param({"subPath": "/abs"}, id="absolute"),
        pytest.param({"subPath": "a/../../b"}, id="dots"),
        pytest.param({"subPathExpr": "$(B)"}, id="unknown variable"),
        pytest.param({"subPath": "link/x"}, id="a symlink out"),
    ],
)
def test_sub_paths_stay_inside(tmp_path: Path, mount: dict[str, Any]) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError):
        mounts(volume, **mount)


@pytest.mark.parametrize(
    ("kind", "what", "ok"),
    [
        pytest.param("Directory", "dir", True, id="directory"),
        pytest.param("Directory", "file", False, id="a file is no directory"),
        pytest.param("File", "file", True, id="file"),
        pytest.param("File", "none", False, id="absent file"),
        pytest.param("DirectoryOrCreate", "none", True, id="made directory"),
        pytest.param("FileOrCreate", "none", True, id="made file"),
        pytest.param("Socket", "file", False, id="no socket"),
        pytest.param("CharDevice", "dir", False, id="no device"),
    ],
)
def test_host_path_types(tmp_path: Path, kind: str, what: str, ok: bool) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    if ok:
        assert mounting.host_path(str(tmp_path / what), kind).exists()
    else:
        with pytest.raises(VolumeError, match="hostPath type check failed"):
            mounting.host_path(str(tmp_path / what), kind)


class Store:
    """A runtime that keeps images as directories."""

    name = "store"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def image_status(self, image: str) -> object | None:
        return object() if image == "there:1" else None

    async def pull_image(self, image: str) -> None:
        raise ImageNotFound("not in the store")

    async def image_directory(self, image: str) -> str:
        return str(self._root)


class NoDirectories:
    name = "plain"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"reference": "there:1"}, "", id="present"),
        pytest.param({"reference": "gone:1"}, 'failed to pull image "gone:1": not in the store', id="absent"),
        pytest.param(
            {"reference": "gone:1", "pullPolicy": "Never"},
            'Container image "gone:1" is not present with pull policy of Never',
            id="never",
        ),
    ],
)
async def test_image_volumes(tmp_path: Path, source: dict[str, str], message: str) -> None:
    place = ImageVolumes(cast(Any, Store(tmp_path))).place(msgspec.convert(source, v1.ImageVolumeSource))
    if not message:
        assert await place == tmp_path
        return
    with pytest.raises(VolumeError) as caught:
        await place
    assert str(caught.value) == message


async def test_a_runtime_without_image_directories_says_so() -> None:
    with pytest.raises(VolumeError, match='image volumes are not supported by the runtime "plain"'):
        await ImageVolumes(cast(Any, NoDirectories())).place(v1.ImageVolumeSource(reference="a:1"))


def test_fs_group_widens_modes() -> None:
    assert mounting.owned_by_group(File(b"", 0o400), 7) == File(b"", 0o440, gid=7)
