"""The limits that SECURITY.md names are those of the code."""

from pathlib import Path

from edgevc.bundle import MAX_ELEMENTS, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MAX_TOTAL_BYTES
from edgevc.bundle.manifest import MAX_FILES
from edgevc.bundle.reader import LARGEST_VOICE_VALUE
from edgevc.engines import onnx_file, probe
from edgevc.live import scheduler

PAGE = (Path(__file__).resolve().parents[2] / "SECURITY.md").read_text(encoding="utf-8")


def test_the_page_names_the_codes_limits():
    rows = (
        f"| manifest | {MAX_MANIFEST_BYTES >> 20} MiB,",
        f"| {MAX_FILES}, each of {MAX_FILE_BYTES >> 20} MiB, {MAX_TOTAL_BYTES >> 20} MiB together,",
        f"| a tensor | {MAX_ELEMENTS >> 20} Mi elements, {onnx_file.MAX_DIMENSIONS} dimensions |",
        f"| a graph for ONNX Runtime | {onnx_file.MAX_NODES:,} operators |",
        f"| {probe.GROWTH_LIMIT_BYTES >> 20} MiB and {probe.GROWTH_PER_FILE_BYTE} times their files,",
        f"| {probe.BUDGET_S:g} s, and {probe.BUDGET_S_PER_MIB:g} s for each MiB of their files, at most "
        f"{probe.MAX_BUDGET_S:g} s;",
        f"| {1000 * probe.HOP_LIMIT_S:g} ms while it is checked,",
        f"| {probe.TIME_LIMIT_S} s by the clock |",
        f"| a voice's values | +-{LARGEST_VOICE_VALUE:g} |",
    )
    for row in rows:
        assert row in PAGE, row
    assert (scheduler.MAX_SLOW_CALLS, scheduler.CALL_LIMIT_SECONDS) == (3, 2.0)
    assert "three calls in a row of more than 2 s" in PAGE


def test_what_the_page_names_is_there():
    root = Path(__file__).resolve().parents[2]
    for name in ("tests/runtime/test_hostile_folder.py", "tests/live/test_control.py", "tests/live/test_metrics.py"):
        assert name in PAGE
        assert (root / name).is_file()
