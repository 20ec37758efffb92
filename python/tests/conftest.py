"""Options of the tests, and what is shown of the programs under test when one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support import CANNOT, Program

#: Why a test may be skipped with `--complete`.
ALLOWED = ("needs --full", CANNOT)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="repeat what must hold each time 50 times, and all cases of long matrices"
    )
    parser.addoption(
        "--complete", action="store_true", help="a test that lacks what it needs fails; otherwise it is skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: runs only with --full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="needs --full")
        for item in items:
            if "full" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> int:
    """Returns how often a test repeats what must hold each time."""
    return 50 if request.config.getoption("--full") else 2


def pytest_runtest_setup() -> None:
    # A server whose program has imported one of them runs on greenlets. Other tests than this may have.
    for package in ("eventlet", "gevent"):
        sys.modules.pop(package, None)
    Program.known[:] = [program for program in Program.known if program.process.poll() is None]


def require(config: pytest.Config, report: Any) -> None:
    """Has a test fail that is skipped for want of something, if all of them must run."""
    if not report.skipped or not config.getoption("--complete") or hasattr(report, "wasxfail"):
        return
    path, line, reason = report.longrepr
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: skipped in spite of --complete: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    outcome: Any = yield
    require(collector.config, outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Adds to the report of a test that fails what its programs have written."""
    outcome: Any = yield
    report = outcome.get_result()
    require(item.config, report)
    if report.failed:
        for program in Program.known:
            report.sections.append((f"output of {program}", "\n".join(program.lines[-200:])))
