from __future__ import annotations

import os
from pathlib import Path

import pytest

from minikube_agents.network import owning, removing
from minikube_agents.runtime.contract import Mount, SecurityContext
from tests.runtime import nodes
from tests.runtime.nodes import output, pod


def test_a_tree_is_removed_and_may_be_gone_already(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for _ in range(2):
        removing.remove_tree(str(tmp_path / "a"))
        assert not (tmp_path / "a").exists()


@nodes.needs_namespaces
async def test_files_of_other_ids_are_removed_too(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    async with nodes.booted() as machine:
        runtime = machine.runtime()
        await runtime.start()
        if not runtime._many_ids:
            pytest.skip("this account has one id only")
        volume = os.path.join(machine.directory, "volume")
        os.mkdir(volume)
        os.chmod(volume, 0o777)
        mount = Mount(host_path=volume, container_path="/data")
        context = SecurityContext(run_as_user=1000)
        await output(
            runtime,
            await runtime.run_sandbox(pod(machine)),
            "mkdir -p /data/x/y && touch /data/x/y/z",
            security=context,
            mounts=(mount,),
        )
        await runtime.close()
        removing.remove_tree(volume)
        assert not os.path.exists(volume)


def test_a_file_is_given_to_an_id_of_containers(tmp_path: Path) -> None:
    if nodes.probe.probe(str(tmp_path)).subordinate_ids:
        with pytest.raises(PermissionError, match="install uidmap"):
            owning.chown(tmp_path, 1000, -1)
        return
    (tmp_path / "token").write_text("x")
    owning.chown(tmp_path / "token", 1000, 2000)
    info = (tmp_path / "token").stat()
    if os.geteuid() == 0:
        assert (info.st_uid, info.st_gid) == (1000, 2000)
    else:
        assert info.st_uid not in (os.geteuid(), 1000)
        assert info.st_gid - info.st_uid == 1000
