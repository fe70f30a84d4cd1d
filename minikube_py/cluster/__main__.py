"""The cluster's daemon: `python -m minikube_py.cluster --data-dir DIR --report-fd N`, spawned by `minictl up`.

Order: lock, network and shims (they must be forked before threads and heavy imports exist, and start in parallel with them), then the
event loop with everything else. SIGTERM and SIGINT end the cluster cleanly; after SIGKILL the shims live on and the next `up` adopts them.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys

from minikube_py.cluster.cleaning import clean
from minikube_py.cluster.layout import AlreadyRunning, Layout, take_lock
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.spec import ClusterSpec, SpecError


def run(layout: Layout, report_fd: int | None) -> int:
    """Run the cluster of a data directory until a signal; the exit code."""
    human = report_fd == 1
    reporter = Reporter(report_fd, human=human)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    # uvloop's default is a SIGPIPE-free process already; plain Python ignores it too, but children of a shell may have inherited a handler
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # nft and its like lie where a normal user's PATH does not look
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", "/usr/bin:/bin"), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    gc.disable()
    try:
        lock = take_lock(layout)
        spec = ClusterSpec.load(layout.spec)
    except (AlreadyRunning, SpecError, OSError) as error:
        reporter.send({"error": str(error)})
        return 1
    from minikube_py.cluster.network import NetworkError, prepare

    try:
        spec, network = prepare(spec, layout, reporter)
        spec.save(layout.settled)
    except (NetworkError, OSError) as error:
        reporter.send({"error": str(error)})
        return 1
    try:
        import asyncio

        from minikube_py.cluster.daemon import serve

        if sys.platform == "linux":
            import uvloop

            uvloop.run(serve(spec, layout, network, reporter))
        else:
            asyncio.run(serve(spec, layout, network, reporter))
    except Exception as error:
        logging.getLogger(__name__).exception("the cluster failed")
        if network is not None and not network.adopted and not reporter.was_ready:
            # it never served anybody: nothing is worth adopting
            for problem in clean(layout):
                logging.getLogger(__name__).error("could not be removed: %s", problem)
        reporter.send({"error": f"{_root(error)}; see {layout.log}"})
        return 1
    finally:
        os.close(lock)
    return 0


def _root(error: BaseException) -> str:
    """The first cause inside an exception group, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minikube_py.cluster", description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--report-fd", type=int)
    arguments = parser.parse_args()
    sys.exit(run(Layout(arguments.data_dir), arguments.report_fd))


if __name__ == "__main__":
    main()
