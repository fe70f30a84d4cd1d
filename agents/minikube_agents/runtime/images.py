"""A node's image store: `host`, the machine's own file system, and what was imported from archives. Nothing is pulled from the network.

Kept in a directory that nodes of a machine may share: `index.json` (names -> image), a directory per image (see archives). The
index is read again when
it changed and written under a lock, so that `minictl image` and kubelets see the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from minikube_agents.runtime import archives, references
from minikube_agents.runtime.contract import Image, ImageNotFound, RuntimeError_
from minikube_agents.shim.client import Completed

HOST = "docker.io/library/host:latest"
#: No content to hash: the digest of the empty string stands for "whatever this machine has".
HOST_ID = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Runner(Protocol):
    """Runs a program with the node's rights (a ShimClient)."""

    async def run(self, argv: Sequence[str], stdin: str = "") -> Completed: ...

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Content:
    """What a container needs of an image. `root`: "" for the machine's own file system."""

    id: str
    root: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    exposed_ports: tuple[str, ...] = ()


class ImageStore:
    def __init__(self, directory: str) -> None:
        self.directory = directory
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self._index_path = os.path.join(directory, "index.json")
        self._stamp = (0, 0)
        #: id without `sha256:` -> {"tags": [...], "size": bytes}
        self._index: dict[str, dict[str, Any]] = {}

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            info = os.stat(self._index_path)
        except FileNotFoundError:
            self._index = {}
            return self._index
        stamp = (info.st_mtime_ns, info.st_ino)
        if stamp != self._stamp:
            with open(self._index_path, encoding="utf-8") as file:
                self._index = json.load(file)
            self._stamp = stamp
        return self._index

    @contextlib.contextmanager
    def _change(self) -> Iterator[dict[str, dict[str, Any]]]:
        with open(os.path.join(self.directory, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self._load()
            yield index
            fresh = self._index_path + ".new"
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump(index, file, indent=1)
            os.replace(fresh, self._index_path)

    def _find(self, image: str) -> str | None:
        """The id (without prefix) behind a name, an id or `NAME@DIGEST`; None when it is not here."""
        index = self._load()
        bare = image.removeprefix("sha256:")
        if bare in index or f"sha256:{bare}" == HOST_ID:
            return bare
        name = references.normalize(image)
        if "@" in name:
            digest = name.partition("@")[2].removeprefix("sha256:")
            return digest if digest in index else None
        for number, record in index.items():
            if name in record["tags"]:
                return number
        return HOST_ID.removeprefix("sha256:") if name == HOST else None

    def status(self, image: str) -> Image | None:
        number = self._find(image)
        return self._image(number) if number is not None else None

    def _image(self, number: str) -> Image:
        record = self._index.get(number, {"tags": [], "size": 0})
        is_host = f"sha256:{number}" == HOST_ID
        tags = (*([HOST] if is_host else []), *record["tags"])
        user = "" if is_host else self._config(number).get("User") or ""
        return Image(id=f"sha256:{number}", tags=tags, size=record["size"], user=user)

    def pull(self, image: str) -> Image:
        found = self.status(image)
        if found is None:
            name = references.normalize(image)
            raise ImageNotFound(
                f'failed to pull image "{image}": {name} is not in this node\'s image store, and nothing is downloaded; '
                f'import it ("docker save {image} -o FILE" where it is, then "minictl image import FILE"), give another image that name '
                f'("minictl image alias host {image}"), or use the image "host"'
            )
        return found

    def images(self) -> list[Image]:
        numbers = dict.fromkeys((HOST_ID.removeprefix("sha256:"), *self._load()))
        return [self._image(number) for number in numbers]

    def content(self, image: str) -> Content:
        number = self._find(image)
        if number is None:
            raise ImageNotFound(f'image "{image}" not found')
        if f"sha256:{number}" == HOST_ID:
            return Content(HOST_ID)
        config = self._config(number)
        env = dict(item.partition("=")[::2] for item in config.get("Env") or ())
        return Content(
            id=f"sha256:{number}",
            root=os.path.join(self.directory, number, "rootfs"),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            env=env,
            working_dir=config.get("WorkingDir") or "",
            user=config.get("User") or "",
            stop_signal=config.get("StopSignal") or "",
            exposed_ports=tuple(config.get("ExposedPorts") or ()),
        )

    def _config(self, number: str) -> dict[str, Any]:
        with open(os.path.join(self.directory, number, "config.json"), encoding="utf-8") as file:
            return json.load(file).get("config") or {}

    async def load(self, runner: Runner, archive: str, tag: str = "") -> list[Image]:
        """Import an archive; `tag` names the image besides its own names (only for an archive of one)."""
        name = references.normalize(tag) if tag else ""
        done = await runner.run(
            [sys.executable, "-S", "-E", "-I", os.path.abspath(archives.__file__), os.path.abspath(archive), self.directory]
        )
        if done.code:
            raise RuntimeError_(f"import of {archive} failed: {done.stderr.strip()}")
        found = json.loads(done.stdout)
        if name and len(found) > 1:
            raise RuntimeError_(f"{archive} has {len(found)} images: no single one to be named {tag}")
        for item in found:
            names = [references.normalize(each) for each in item["tags"]]
            self._name(item["id"], [*names, *([name] if name else [])], item["size"])
        return [self._image(item["id"]) for item in found]

    def _name(self, number: str, names: Sequence[str], size: int | None = None) -> None:
        """A name belongs to one image: the last that took it."""
        with self._change() as index:
            for record in index.values():
                record["tags"] = [each for each in record["tags"] if each not in names]
            record = index.setdefault(number, {"tags": [], "size": 0})
            record["tags"] += names
            if size is not None:
                record["size"] = size

    def alias(self, image: str, alias: str) -> None:
        number = self._find(image)
        if number is None:
            raise ImageNotFound(f'image "{image}" not found')
        self._name(number, [references.normalize(alias)])

    async def remove(self, runner: Runner, image: str) -> None:
        """By name: takes the name away, and the image with its last one. By id: all of it. What is not there is removed already."""
        number = self._find(image)
        if number is None:
            return
        with self._change() as index:
            record = index.get(number)
            if record is None:
                raise RuntimeError_('the image "host" is the machine itself and can\'t be removed')
            by_id = image.removeprefix("sha256:") == number
            name = "" if by_id else references.normalize(image)
            record["tags"] = [] if by_id else [each for each in record["tags"] if each != name]
            if record["tags"]:
                return
            del index[number]
        if f"sha256:{number}" != HOST_ID:
            await runner.call("remove_tree", path=os.path.join(self.directory, number))
