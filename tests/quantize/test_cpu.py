"""What /proc/cpuinfo says of int8, and the arithmetic of an estimate."""

from pathlib import Path

import pytest

from edgevc.board.boards import BOARDS, UNCERTAINTY, estimate, parse_cpuinfo, this_cpu
from edgevc.errors import ConfigError

SAMPLES = Path(__file__).parent / "cpuinfo"
DOT, I8MM = "dotprod (asimddp)", "i8mm"


def sample(name):
    return parse_cpuinfo((SAMPLES / f"{name}.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "core", "board", "n_cores", "int8", "dot_product"),
    [
        ("pi_zero_2w", "Cortex-A53", "Raspberry Pi Zero 2 W Rev 1.0", 4, ("ASIMD",), False),
        ("pi_3b_plus", "Cortex-A53", "Raspberry Pi 3 Model B Plus Rev 1.3", 4, ("ASIMD",), False),
        ("pi_3b_plus_32bit", "Cortex-A53", "Raspberry Pi 3 Model B Plus Rev 1.3", 4, ("NEON",), False),
        ("pi_4", "Cortex-A72", "Raspberry Pi 4 Model B Rev 1.1", 4, ("ASIMD",), False),
        ("pi_5", "Cortex-A76", "Raspberry Pi 5 Model B Rev 1.0", 4, ("ASIMD", DOT), True),
        ("jetson_orin", "Cortex-A78AE", "", 6, ("ASIMD", DOT), True),
        ("x86_avx2", "Intel Core i7-6700 CPU @ 3.40GHz", "", 4, ("AVX2",), False),
        ("x86_avx_vnni", "12th Gen Intel Core i5-1240P", "", 4, ("AVX2", "AVX-VNNI"), True),
        ("x86_vnni", "AMD EPYC", "", 2, ("AVX2", "AVX-512BW", "AVX512-VNNI"), True),
    ],
)
def test_a_cpu_is_named_with_its_int8_features(name, core, board, n_cores, int8, dot_product):
    cpu = sample(name)
    assert (cpu.name, cpu.board, cpu.n_cores) == (core, board, n_cores)
    assert cpu.int8 == int8
    assert cpu.dot_product is dot_product


def test_a_feature_that_one_core_lacks_is_not_counted():
    text = (SAMPLES / "pi_5.txt").read_text(encoding="utf-8")
    cpu = parse_cpuinfo(text.replace("dcpop asimddp", "dcpop i8mm", 1).replace("0xd0b", "0xd05", 1))
    assert cpu.int8 == ("ASIMD",)
    assert cpu.name == "Cortex-A55 + Cortex-A76"


def test_matrix_and_scalable_instructions_are_named():
    cpu = parse_cpuinfo("processor : 0\nFeatures : asimd asimddp sve i8mm\nCPU implementer : 0x41\nCPU part : 0xd40\n")
    assert cpu.int8 == ("ASIMD", DOT, I8MM, "SVE")


@pytest.mark.parametrize("text", ["", "nonsense", "processor\n:::\nflags", "Model:\nCPU part: 0xfff"])
def test_what_cannot_be_read_is_no_error(text):
    cpu = parse_cpuinfo(text)
    assert cpu.n_cores == 1
    assert not cpu.dot_product
    assert cpu.name


def test_a_cpu_says_what_its_features_mean():
    assert "hardly any instructions" in sample("pi_4").meaning
    assert "saturate" in sample("x86_avx2").meaning
    assert "saves time" in sample("pi_5").meaning
    assert sample("pi_5").as_dict()["int8"] == ["ASIMD", DOT]


def test_this_cpu_has_cores():
    assert this_cpu().n_cores >= 1


# thousand instructions of two networks, counted with an emulator; the line through both must give them back
COUNTED = {("A53", 3.31, 3.57): 1886, ("A72", 3.31, 3.57): 1311, ("A76", 3.31, 3.57): 846, ("A72", 0.671, 0.79): 340}


@pytest.mark.parametrize(("case", "thousands"), COUNTED.items())
def test_the_counted_instructions_come_back(case, thousands):
    core, macs, megabytes = case
    board = next(name for name, b in BOARDS.items() if b.counts == core)
    found = estimate(board, round(macs * 1e6), round(megabytes * 1e6))
    assert found.instructions == pytest.approx(thousands * 1e3, rel=0.002)


def test_an_estimate_is_what_its_arithmetic_says():
    found = estimate("pi-4", 3_310_000, 3_570_000)
    assert found.compute_us == pytest.approx((93e3 + 0.368 * 3.31e6) / (1.0 * 1.5e9) * 1e6)
    assert found.memory_us == pytest.approx((3.57e6 - 0.4e6) / 4.5e9 * 1e6)
    assert found.us == pytest.approx(found.compute_us + found.memory_us)
    assert (found.low_us, found.high_us) == pytest.approx((found.us * UNCERTAINTY[0], found.us * UNCERTAINTY[1]))
    assert "(3.57 MB - half of 0.8 MB cache) / 4.5 GB/s = 0.70 ms" in "\n".join(found.lines())


def test_weights_that_fit_the_cache_cost_no_memory_time():
    found = estimate("pi-5", 671_000, 790_000)
    assert found.memory_us == 0.0
    assert any("fit into half of 2 MB cache" in line for line in found.lines())


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize("precision", ["int8", "float"])
def test_every_output_says_that_it_is_an_estimate(board, engine, precision):
    found = estimate(board, 3_310_000, 3_570_000, engine, precision)
    assert "estimate" in str(found)
    assert all("estimate" in line for line in found.lines())
    assert list(found.as_dict()) == ["estimate"]


def test_int8_saves_time_on_every_board():
    for board in BOARDS:
        small, large = estimate(board, 3_310_000, 3_570_000), estimate(board, 3_310_000, 13_360_000, precision="float")
        assert small.us < large.us


def test_a_board_is_found_however_it_is_written():
    assert estimate(" Pi Zero_2W ".replace("Zero_2W", "zero_2w"), 1, 1).board == "pi-zero-2w"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toaster", 1, 1), "board must be one of pi-zero-2w"),
        (("pi-4", 1, 1, "tensorrt"), "engine must be litert or onnx"),
        (("pi-4", 1, 1, "onnx", "int4"), "precision int8 or float"),
        (("pi-4", -1, 1), "must not be negative"),
    ],
)
def test_what_cannot_be_estimated_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        estimate(*arguments)
