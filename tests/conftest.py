import gc
import os
import random
import sys

import numpy as np
import pytest

pytest.register_assert_rewrite("support")

REQUIRED = "KERAS_SALIENCY_REQUIRE_BROWSER"

SHARE_SERVERS = ("tests/plugin/", "tests/tensorboard/test_stock_tabs.py")
"""Modules whose tests share a browser or a server of TensorBoard."""

FIRST_STATES = pytest.StashKey[dict]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, a process gets a whole module of those, so that a server is started once."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.partition("::")[0] if nodeid.startswith(SHARE_SERVERS) else nodeid

    return Scheduling(config, log)


def pytest_collection_modifyitems(config, items):
    """Marks the tests that use a browser or a server."""
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker("browser")
        if "board" in item.fixturenames:
            item.add_marker("slow")
    modules = {item.module for item in items if hasattr(item, "module")}
    config.stash[FIRST_STATES] = {
        module: module.RNG.bit_generator.state for module in modules if hasattr(module, "RNG")
    }


@pytest.fixture(autouse=True)
def _same_draws(request):
    """What a test draws does not depend on the tests before it, nor on chance.

    Keras draws the seeds of weights and dropout from Python's generator. TensorFlow's is seeded
    once a module, as it then forgets its kernels and has to make them again.
    """
    random.seed(0)
    np.random.seed(0)
    module = getattr(request.node, "module", None)
    state = request.config.stash[FIRST_STATES].get(module)
    if state is not None:
        module.RNG.bit_generator.state = state


@pytest.fixture(scope="module", autouse=True)
def _frozen_heap():
    """What is alive when a module begins is left out of garbage collections.

    Keras collects garbage whenever its session is cleared. That takes seconds once some hundred
    models were traced, as TensorFlow keeps their graphs.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _same_models():
    """What a module's fixtures draw does not depend on the tests before it, nor on chance."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="module")
def chromium():
    """A browser for the tests of the SALIENCY tab's page, which are skipped without one."""
    from support import browser

    lacking = browser.missing()
    if lacking and os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{lacking} {REQUIRED}=1 asks for them.")
    if lacking:
        pytest.skip(lacking)
    with browser.launched() as found:
        yield found


def pytest_terminal_summary(terminalreporter):
    """Says loudly, and not only with `-rs`, that the page was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    lacking = [found for found in skipped if "The page's tests need" in str(found.longrepr)]
    if lacking:
        terminalreporter.section("THE PAGE WAS NOT TESTED", red=True, bold=True)
        terminalreporter.line(f"{len(lacking)} tests were skipped: {lacking[0].longrepr[2]}")
