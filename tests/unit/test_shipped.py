"""Models that other installed packages bring are found by their entry point, and nothing of theirs runs."""

import sys

import pytest
from helpers.tiny_bundle import write_tiny_bundle

from edgevc import cli
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.bundle.shipped import own_models
from edgevc.errors import ModelError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out a package as pip does: its folder, and a dist-info beside it."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(site)

    def lay(package, points, bundle=True):
        folder = site / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('raise RuntimeError("a model is data, nobody imports it")\n')
        if bundle:
            write_tiny_bundle(folder, package.replace("_", "-"))
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[edgevc.models]\n" + "".join(f"{point}\n" for point in points))
        return folder

    return lay


def test_a_model_of_another_package_is_found_by_its_name(install, capsys):
    folder = install("edgevc_large", ["large = edgevc_large"])
    assert shipped_models() == own_models() | {"large": folder}
    bundle = ModelBundle.find("large")
    assert (bundle.name, bundle.path) == ("edgevc-large", folder)
    assert not bundle.built_in
    assert "edgevc_large" not in sys.modules
    assert cli.main(["voices", "--bundle", "large"]) == 0
    assert "voices of edgevc-large" in capsys.readouterr().out


def test_a_name_of_the_packages_own_is_never_another_packages(install):
    install("edgevc_other", ["default = edgevc_other"])
    assert ModelBundle.find("default").built_in
    assert shipped_models() == own_models()


@pytest.mark.parametrize("value", ["edgevc_away", "edgevc_large.inner", "edgevc_large:thing", "sys"])
def test_what_is_no_bundle_is_no_model(install, value):
    install("edgevc_large", [f"large = {value}"], bundle=value != "edgevc_away")
    assert "large" not in shipped_models()
    with pytest.raises(ModelError, match=r"a model is one of default, .* found no 'large'"):
        ModelBundle.find("large")
    assert "edgevc_large" not in sys.modules
