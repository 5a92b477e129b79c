"""Fixtures for every test: a seeded generator, a tiny bundle, and a cache folder of the test's own."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20240)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Verdicts on engines go to a folder of this test run, never to the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory):
    """A bundle with graphs for both engines; read only, copy it to change it."""
    from tiny_bundle import write_tiny_bundle

    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_path):
    from edgevc.bundle import ModelBundle

    return ModelBundle.open(tiny_bundle_path)
