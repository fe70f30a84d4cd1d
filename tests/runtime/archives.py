"""Small image archives, made by hand in both formats."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from typing import Any

CONFIG = {
    "Env": ["PATH=/usr/bin:/bin", "GREETING=from the image"],
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["echo $GREETING; id -u; pwd"],
    "User": "web",
    "WorkingDir": "/srv/app",
    "StopSignal": "SIGUSR1",
    "ExposedPorts": {"8080/tcp": {}},
}
#: (path, kind, content or target, mode)
Entry = tuple[str, str, str, int]
BASE: list[Entry] = [
    ("etc/", "dir", "", 0o755),
    ("etc/passwd", "file", "root:x:0:0::/root:/bin/sh\nweb:x:1234:4321::/srv/app:/bin/sh\n", 0o644),
    ("etc/group", "file", "root:x:0:\nweb:x:4321:\nextra:x:77:web\n", 0o644),
    ("bin", "link", "usr/bin", 0o777),
    ("lib", "link", "usr/lib", 0o777),
    ("lib64", "link", "usr/lib64", 0o777),
    ("usr/", "dir", "", 0o755),
    ("opt/", "dir", "", 0o755),
    ("opt/gone", "file", "x", 0o644),
    ("opt/dir/", "dir", "", 0o755),
    ("opt/dir/old", "file", "x", 0o644),
    ("opt/stays", "file", "one", 0o600),
]
TOP: list[Entry] = [
    ("opt/.wh.gone", "file", "", 0o644),
    ("opt/dir/new", "file", "new", 0o755),
    ("opt/dir/.wh..wh..opq", "file", "", 0o644),
    ("opt/hard", "hard", "opt/stays", 0o600),
    ("lib/through-link", "file", "usr", 0o644),
]


def layer(entries: list[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, kind, content, mode in entries:
            info = tarfile.TarInfo(path)
            info.mode, info.mtime = mode, 1_000_000_000
            data = b""
            if kind == "dir":
                info.type = tarfile.DIRTYPE
            elif kind in ("link", "hard"):
                info.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                info.linkname = content
            else:
                data = content.encode()
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _write(path: str, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _config() -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", "config": CONFIG}).encode()


def docker(path: str, tags: list[str], layers: tuple[list[Entry], ...] = (BASE, TOP)) -> str:
    config = _config()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": names}]
    contents = dict(zip(names, map(layer, layers), strict=True))
    return _write(path, {"manifest.json": json.dumps(manifest).encode(), "config.json": config, **contents})


def oci(path: str, name: str, layers: tuple[list[Entry], ...] = (BASE, TOP)) -> str:
    files: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    config = blob(_config(), "config.v1+json")
    manifest = {"config": config, "layers": [blob(layer(each), "layer.v1.tar+gzip") for each in layers]}
    main = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    platform = {"os": "linux", "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]}
    foreign = {**blob(b"{}", "manifest.v1+json"), "platform": {"os": "linux", "architecture": "s390x"}}
    index = blob(json.dumps({"manifests": [{**main, "platform": platform}, foreign]}).encode(), "index.v1+json")
    index["annotations"] = {"io.containerd.image.name": name}
    files["index.json"] = json.dumps({"manifests": [index]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    return _write(path, files)
