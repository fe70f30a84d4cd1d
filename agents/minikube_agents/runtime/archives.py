"""Unpack a docker-save or OCI archive: a program of its own, standard library only, run by the shim with the node's rights.

`python -S -E -I archives.py ARCHIVE DIRECTORY` makes `DIRECTORY/SHA256-OF-CONFIG/{rootfs,config.json}` for each image and prints a JSON list of
`{"id", "tags", "size"}`. Layers are applied one over the other into a single tree, with their whiteouts carried out (OCI image spec, "Image Layer
Filesystem Changeset"): one lower directory serves all containers, and removing an image is removing a directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import tarfile
from typing import Any

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from minikube_agents.shim import rootfs

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_REF = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class ArchiveError(Exception):
    """The file is no image archive, or one that can't be used; worded for the user."""


class Layer:
    """Applies one layer's entries to a tree."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._fresh: set[str] = set()  # made by this layer: its opaque marks spare them
        self._times: list[tuple[str, float]] = []

    def apply(self, archive: tarfile.TarFile) -> None:
        for entry in archive:
            parts = [part for part in entry.name.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise ArchiveError(f"layer entry {entry.name!r} leaves the image")
            if parts:
                self._entry(archive, entry, parts)
        for path, when in reversed(self._times):
            os.utime(path, (when, when), follow_symlinks=False)

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parts: list[str]) -> None:
        parent = self._root + rootfs.resolve(self._root, "/".join(parts[:-1])).rstrip("/")
        name = parts[-1]
        os.makedirs(parent, exist_ok=True)
        if name == _OPAQUE:
            for other in os.listdir(parent):
                if os.path.join(parent, other) not in self._fresh:
                    _remove(os.path.join(parent, other))
        elif name.startswith(_WHITEOUT):
            _remove(os.path.join(parent, name.removeprefix(_WHITEOUT)))
        else:
            path = os.path.join(parent, name)
            self._fresh.add(path)
            self._write(archive, entry, path)

    def _write(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if not (entry.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            _remove(path)
            self._make(archive, entry, path)
        if not os.path.lexists(path) or entry.islnk():
            return
        with contextlib.suppress(PermissionError, OSError):  # a user namespace without that id: the file stays ours
            os.lchown(path, entry.uid, entry.gid)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        capability = entry.pax_headers.get("SCHILY.xattr.security.capability")
        if capability is not None:
            with contextlib.suppress(OSError):  # likewise
                os.setxattr(path, "security.capability", capability.encode("utf-8", "surrogateescape"))
        self._times.append((path, entry.mtime))

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            os.mkdir(path)
        elif entry.issym():
            os.symlink(entry.linkname, path)
        elif entry.islnk():
            target = self._root + rootfs.resolve(self._root, os.path.dirname(entry.linkname))
            os.link(os.path.join(target, os.path.basename(entry.linkname)), path, follow_symlinks=False)
        elif entry.isfile():
            source = archive.extractfile(entry)
            assert source is not None
            with open(path, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        elif entry.isfifo():
            os.mkfifo(path)
        elif entry.ischr() or entry.isblk():
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            with contextlib.suppress(PermissionError):  # not in a user namespace; containers get their own /dev anyway
                os.mknod(path, kind | entry.mode, os.makedev(entry.devmajor, entry.devminor))


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _size(root: str) -> int:
    seen: set[int] = set()
    total = 0
    for path, _names, files in os.walk(root):
        for name in files:
            info = os.lstat(os.path.join(path, name))
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                total += info.st_size
    return total


class Archive:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {entry.name.removeprefix("./"): entry for entry in tar}

    def read(self, name: str) -> bytes:
        file = self._file(name)
        return file.read()

    def _file(self, name: str) -> Any:
        entry = self._members.get(name)
        while entry is not None and (entry.issym() or entry.islnk()):  # older docker-save links equal layers
            target = (
                os.path.normpath(os.path.join(os.path.dirname(entry.name), entry.linkname)) if entry.issym() else entry.linkname
            )
            entry = self._members.get(target.removeprefix("./"))
        file = self._tar.extractfile(entry) if entry is not None else None
        if file is None:
            raise ArchiveError(f"the archive lacks {name}")
        return file

    def _blob(self, descriptor: dict[str, Any]) -> str:
        return "blobs/" + descriptor["digest"].replace(":", "/", 1)

    def images(self) -> list[tuple[str, list[str], list[str]]]:
        """(config file, layer files, tags) of each image in it."""
        if "manifest.json" in self._members:
            manifests = json.loads(self.read("manifest.json"))
            return [(item["Config"], item["Layers"], item.get("RepoTags") or []) for item in manifests]
        if "index.json" in self._members:
            index = json.loads(self.read("index.json"))
            return [image for item in index["manifests"] for image in self._oci(item, self._names(item))]
        raise ArchiveError("neither a docker-save nor an OCI archive: it has no manifest.json and no index.json")

    @staticmethod
    def _names(descriptor: dict[str, Any]) -> list[str]:
        notes = descriptor.get("annotations") or {}
        name = notes.get(_CONTAINERD_NAME) or notes.get(_REF, "")
        return [name] if name else []

    def _oci(self, descriptor: dict[str, Any], tags: list[str]) -> list[tuple[str, list[str], list[str]]]:
        platform = descriptor.get("platform", {})
        wanted = _MACHINES.get(os.uname().machine, "")
        if platform and (platform.get("os"), platform.get("architecture")) != ("linux", wanted):
            return []
        tree = json.loads(self.read(self._blob(descriptor)))
        if "manifests" in tree or descriptor.get("mediaType") in _INDEXES:
            return [image for item in tree["manifests"] for image in self._oci(item, tags)]
        return [(self._blob(tree["config"]), [self._blob(layer) for layer in tree["layers"]], tags)]

    def unpack(self, config_name: str, layers: list[str], directory: str) -> tuple[str, int]:
        """(id without `sha256:`, size)."""
        config = self.read(config_name)
        number = hashlib.sha256(config).hexdigest()
        final = os.path.join(directory, number)
        if os.path.isdir(final):
            return number, _size(os.path.join(final, "rootfs"))
        fresh = f"{final}.{os.getpid()}"
        try:
            self._fill(fresh, config, layers)
            os.rename(fresh, final)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return number, _size(os.path.join(final, "rootfs"))

    def _fill(self, directory: str, config: bytes, layers: list[str]) -> None:
        root = os.path.join(directory, "rootfs")
        os.makedirs(root, mode=0o755)
        for name in layers:
            try:
                with tarfile.open(fileobj=self._file(name), mode="r:*") as layer:
                    Layer(root).apply(layer)
            except tarfile.ReadError as error:
                raise ArchiveError(f"layer {name} can't be read ({error}); zstd layers are not supported") from error
        with open(os.path.join(directory, "config.json"), "wb") as file:
            file.write(config)


def unpack(path: str, directory: str) -> list[dict[str, Any]]:
    try:
        with tarfile.open(path, "r:*") as tar:
            archive = Archive(tar)
            found = []
            for config, layers, tags in archive.images():
                number, size = archive.unpack(config, layers, directory)
                found.append({"id": number, "tags": tags, "size": size})
    except (tarfile.ReadError, FileNotFoundError, IsADirectoryError) as error:
        raise ArchiveError(f"{path}: {error}") from error
    if not found:
        raise ArchiveError(f"{path}: no image for this machine in it")
    return found


if __name__ == "__main__":
    os.umask(0o022)
    try:
        print(json.dumps(unpack(sys.argv[1], sys.argv[2])))
    except ArchiveError as failure:
        sys.exit(str(failure))
