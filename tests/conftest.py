"""Shared by all tests: which tests this environment may skip is a checked-in list, so that a skip never slips in unseen.

The list is `tests/skips/ENVIRONMENT.txt` (ENVIRONMENT: `root` or `user`); with CI=true a run of the whole suite fails when the
tests it skipped are not exactly that list.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# nft and ip lie where a normal user's PATH does not look; the cluster's daemon looks there too
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin", "/sbin"])

SKIPS = Path(__file__).parent / "skips"


def environment() -> str:
    return "root" if os.geteuid() == 0 else "user"


class SkipLedger:
    """Collects node ids of skipped tests and compares them with the checked-in list at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.skipped: dict[str, str] = {}
        self.whole_suite = False
        self.difference: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config) -> None:
        asked = [Path(arg.split("::")[0]).resolve() for arg in config.args]
        self.whole_suite = asked == [Path(__file__).parent.resolve()] and not config.option.keyword and not config.option.markexpr

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.whole_suite or os.environ.get("CI") != "true":
            return
        path = SKIPS / f"{environment()}.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        expected = {line for line in lines if line and not line.startswith("#")}
        self.difference = [f"+ {n}: {self.skipped[n]}" for n in sorted(set(self.skipped) - expected)]
        self.difference += [f"- {n}: listed in {path.name}, not skipped" for n in sorted(expected - set(self.skipped))]
        if self.difference:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"skipped tests: {len(self.skipped)} (environment {environment()})")
        for line in self.difference:
            terminalreporter.write_line(f"skip list differs: {line}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SkipLedger(config), "skip-ledger")
