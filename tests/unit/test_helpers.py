"""What the tests lean on is tested where it could hide a defect."""

import contextlib
from types import SimpleNamespace

import pytest
from helpers import pulse


@pytest.mark.parametrize(("late", "calls"), [([], 1), ([40.0], pulse.ATTEMPTS)])
def test_an_attempt_is_repeated_only_where_the_machine_was_late(late, calls, tmp_path, monkeypatch):
    made = []
    sound = SimpleNamespace(folder=tmp_path)
    monkeypatch.setattr(pulse, "virtual_sound", lambda: contextlib.nullcontext(sound))
    monkeypatch.setattr(pulse, "watch", lambda path, ahead: contextlib.nullcontext(lambda: late))
    monkeypatch.setattr(pulse, "EXCUSED", made)
    monkeypatch.setattr(pulse.time, "sleep", lambda seconds: None)
    tried = []

    def attempt(sound):
        tried.append(sound)
        raise AssertionError

    with pytest.raises(AssertionError):
        pulse.patiently(attempt, sound)
    assert len(tried) == calls
    assert len(made) == calls - 1
