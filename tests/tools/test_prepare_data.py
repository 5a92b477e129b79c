"""Fewer recordings of each voice, always the same ones. < 1 s."""

import prepare_data
import pytest
from vctrain.data.speakers import VOICES

pytestmark = pytest.mark.tools


def rows_of(speaker, split, count):
    return [{"speaker": speaker, "split": split, "path": f"audio/{speaker}/{split}{i}.flac"} for i in range(count)]


def test_each_voice_keeps_so_many_and_everybody_else_stays():
    rows = [row for voice in VOICES for row in rows_of(voice, "train", 20) + rows_of(voice, "test", 5)]
    others = rows_of("ls26", "train", 20) + rows_of("oc0001", "train", 20)
    found = prepare_data.fewer(rows + others, 8)
    for voice in VOICES:
        assert sum(row["speaker"] == voice and row["split"] == "train" for row in found) == 8
        assert sum(row["speaker"] == voice and row["split"] == "test" for row in found) == 5
    assert found[-40:] == others
    # in whatever order they come, and with more of them beside
    again = prepare_data.fewer(rows[::-1], 8)
    assert {row["path"] for row in again} == {row["path"] for row in found if row not in others}
    assert {row["path"] for row in prepare_data.fewer(rows, 4)} < {row["path"] for row in again}
    assert prepare_data.fewer(rows, 20) == rows
