"""Array checks, exit codes, and stderr kept quiet from several threads at once."""

import os
import threading

import numpy as np
import pytest

from edgevc import errors
from edgevc.arrays import as_mono_float32, require_finite, within
from edgevc.errors import ConfigError
from edgevc.stderr import quiet_stderr


def test_nothing_is_cast_and_nothing_is_guessed():
    samples = np.zeros(4, np.float32)
    assert as_mono_float32(samples) is samples
    assert as_mono_float32(np.zeros(8, np.float32)[::2]).flags.c_contiguous
    for wrong, found in ((np.zeros(4), "float64"), ([0.0], "list"), (None, "NoneType"), (np.zeros(4, ">f4"), ">f4")):
        with pytest.raises(TypeError, match=f"x: expected a float32 array, got {found}"):
            as_mono_float32(wrong, "x")
    with pytest.raises(ConfigError, match=r"samples must have shape \(T,\), mono, got \(2, 4\)"):
        as_mono_float32(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e6])
def test_the_first_bad_sample_is_named(bad):
    samples = np.array([0, 1, bad, bad], np.float32)
    with pytest.raises(ConfigError, match=r"samples must be finite and within \+-1e\+06, got .* at index 2"):
        require_finite(samples, largest=1e6)
    if not np.isfinite(bad):
        with pytest.raises(ConfigError, match="samples must be finite, got"):
            require_finite(samples)


def test_a_range_includes_its_ends_and_refuses_nan():
    assert within(-40, (-40, 40), "gain_db") == -40
    for wrong in (40.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"gain_db must be within -40\.\.40, got"):
            within(wrong, (-40, 40), "gain_db")


def test_every_error_has_an_exit_code_of_its_own():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgevcError)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert set(kinds) == {errors.EdgevcError, *errors.ALL}
    assert errors.INTERRUPTED not in codes


def test_a_missing_package_names_the_command():
    error = errors.MissingPackageError("drawing a plot", "matplotlib", "plot")
    assert str(error) == 'drawing a plot needs the package matplotlib; pip install "edgevc[plot]"'


def test_stderr_comes_back_after_blocks_that_overlap(capfd):
    """Two silencers with a lock each left file descriptor 2 on /dev/null for good."""
    first_inside, second_inside = threading.Event(), threading.Event()

    def first():
        with quiet_stderr():
            first_inside.set()
            second_inside.wait(10)
        # the second block is still open here

    def second():
        first_inside.wait(10)
        with quiet_stderr():
            os.write(2, b"noise\n")
            second_inside.set()
            one.join(10)
            os.write(2, b"more noise\n")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    two.start()
    two.join(10)
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_a_block_inside_another_does_not_end_the_silence(capfd):
    with quiet_stderr():
        with quiet_stderr():
            os.write(2, b"noise\n")
        os.write(2, b"noise\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
