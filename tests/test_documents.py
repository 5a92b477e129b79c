"""What the documents show works, and what they point to is there. The examples run as a user would run them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "models/*.md", "more_models/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
MAX_README_LINES = 150


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with the examples in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def run(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_example_has_five_lines_and_converts_the_sentence(folder):
    (code,) = python_blocks("README.md")
    assert len([line for line in code.splitlines() if line]) == 5
    exec(code, {})
    assert (folder / "other.wav").stat().st_size == (ROOT / "examples/sentence.wav").stat().st_size


def test_the_streaming_example_holds(folder):
    (code,) = python_blocks("docs/streaming.md")
    assert code.count("assert ") == 2
    exec(code, {})


def test_the_file_example_takes_another_sample_rate(folder, rng):
    from edgevc.audio.reader import read_audio
    from edgevc.audio.wav_writer import write_wav

    write_wav("in.wav", rng.normal(0, 0.1, 22_050).astype("float32"), 44_100)
    assert "0.50 s as bdl" in run("examples/convert_file.py", "in.wav", "out.wav", "bdl")
    samples, sample_rate, _ = read_audio("out.wav")
    assert (len(samples), sample_rate) == (22_050, 44_100)


def test_the_block_example_gives_every_sample_and_the_latency(folder):
    text = run("examples/stream_blocks.py", "examples/sentence.wav")
    n_in, n_out = map(int, re.search(r"(\d+) samples in, (\d+) out", text).groups())
    assert n_out == n_in + 480
    assert "algorithmic latency 40 ms" in text


def test_the_commands_of_the_convert_page_work(folder):
    import soundfile

    for name in ("me.wav", "one.wav", "two.flac", "band.flac", "recordings/deep/three.ogg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, [0.0, 0.1] * 2_000, 16_000)
    text = (ROOT / "docs/convert.md").read_text(encoding="utf-8")
    commands = re.findall(r"^edgevc (convert .*)$", text, flags=re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        run("-m", "edgevc", *shlex.split(command, comments=True))
    made = "again.wav all/deep/three.wav both.png converted/one.wav converted/two.wav mixed.wav other.wav"
    assert [name for name in made.split() if not Path(name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


def documented_commands(document):
    """(script, its options) of every `python tools/NAME.py ...` or benchmarks/, continued lines joined."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for script, rest in re.findall(r"python ((?:tools|benchmarks)/\w+\.py)([^`\n#]*)", text):
        yield script, re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", rest)


def has_option(script, option):
    """Whether a program has an option; those that all trainings share are in a module of their own."""
    source = (ROOT / script).read_text(encoding="utf-8")
    return f'"{option}"' in source or (option == "--device" and "device.add_option(" in source)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_have_the_options_that_documents_give_them(document):
    for script, options in documented_commands(document):
        assert [option for option in options if not has_option(script, option)] == [], script


def test_documented_commands_are_found_with_what_stands_on_the_next_line():
    commands = list(documented_commands(ROOT / "docs/training-log.md"))
    assert len(commands) > 10
    assert any("--compile" in options for script, options in commands if script == "tools/train_encoder.py")
    assert all(options for script, options in commands if script == "tools/train_decoder.py")


def driver(*arguments):
    """What `python tools/train.py ...` prints; it needs no PyTorch until a step runs."""
    return run(str(ROOT / "tools/train.py"), *arguments)


def recipes():
    return [line.split()[0] for line in driver().splitlines()]


def test_the_guide_names_every_recipe_and_the_reference_has_the_table_of_data_sets():
    guide = (ROOT / "docs/training.md").read_text(encoding="utf-8").partition("## The recipes")[2]
    assert {name for name in recipes() if f"| `{name}` |" not in guide} == {"bundle"}
    run(str(ROOT / "tools/data_table.py"), "--check")


def test_documented_calls_of_the_driver_name_recipes_and_steps_that_exist(folder):
    calls = set()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ").replace("\n", " ")
        calls |= set(re.findall(r"python tools/train\.py ([a-z-]+(?: [a-z]+)?(?: --[a-z-]+ [\w./=-]+)*)", text))
    assert len(calls) >= 3
    for call in calls:
        assert "tools/" in driver(*call.split(), *(("--dry-run",) if len(call.split()) > 1 else ())), call


@pytest.mark.parametrize("recipe", [path.stem for path in sorted((ROOT / "tools/recipes").glob("*.toml"))])
def test_every_step_of_a_recipe_is_a_program_with_these_options(recipe):
    commands = [shlex.split(line) for line in driver(recipe).splitlines() if not line.startswith("#")]
    assert commands
    for command in commands:
        words = [word for word in command if "=" not in word or word.startswith("--")]
        if words[1:4] == ["-P", "-m", "edgevc"]:
            continue
        script = Path(words[1]).relative_to(ROOT)
        options = [word for word in words[2:] if word.startswith("--")]
        assert [option for option in options if not has_option(script, option)] == [], script


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < MAX_README_LINES


def test_the_drawing_of_the_rooms_is_that_of_the_rules():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/import_diagram.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_in_the_navigation_and_can_be_found_from_the_entrance():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    tables = {page for page in pages if page.startswith("results/")}
    assert tables == set(re.findall(r"\]\((results/[\w.-]+\.md)\)", (ROOT / "docs/results.md").read_text("utf-8")))
    pages -= tables
    navigation = set(re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert pages <= navigation
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", (ROOT / "docs/README.md").read_text(encoding="utf-8")))
    assert pages <= linked
