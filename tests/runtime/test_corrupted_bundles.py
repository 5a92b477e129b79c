"""500 damaged bundles: each ends in ModelError, soon, in bounded memory, without a look outside its folder."""

import json
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc.bundle import ModelBundle, write_manifest
from edgevc.errors import EngineError, ModelError

SEED = 500
N_CASES = 500
PAYLOAD = ("encoder.onnx", "decoder.onnx", "encoder.tflite", "decoder.tflite", "voices.f32", "golden.f32")
# Measured 0.03 s at most; a hang is what this is about, and a busy machine must not look like one.
TIME_LIMIT_S = 20.0
# Measured 3 MB: a copy of each file and the manifest's objects; times 5.
MEMORY_LIMIT_BYTES = 15 << 20


def flip(data, rng, n_bits=1):
    data = bytearray(data)
    for _ in range(n_bits):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def edit_file(path, change):
    """A damage of a file that leaves the manifest as it was."""

    def apply(folder):
        file = folder / path
        file.write_bytes(change(file.read_bytes()))

    return apply


def edit_manifest(change):
    """A damage of the manifest by somebody who knows how to seal it."""

    def apply(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        seal(folder, change(manifest) or manifest)

    return apply


def seal(folder, manifest):
    """Write the manifest with a valid hash of itself, but leave everything else in it alone."""
    import hashlib

    text = json.dumps(manifest | {"manifest_sha256": "-" * 64})
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(text.replace("-" * 64, digest))


def leaves(value, path=()):
    """Every place in the manifest where something else can be put; measured figures are free-form, so left out."""
    if path[-1:] == ("quantization",):
        return
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(inner, (*path, key))


def put(manifest, path, value):
    if not path:
        return value
    target = manifest
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return manifest


def link(name, target):
    def apply(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return apply


def replace_text(old, new):
    """Change the manifest's text and seal it, for what json.dumps would never write."""

    def apply(folder):
        import hashlib

        manifest = json.loads((folder / "manifest.json").read_text()) | {"manifest_sha256": "-" * 64}
        text = json.dumps(manifest).replace(old, new, 1)
        (folder / "manifest.json").write_text(text.replace("-" * 64, hashlib.sha256(text.encode()).hexdigest()))

    return apply


def not_finite(path, value):
    def apply(folder):
        numbers = np.frombuffer((folder / path).read_bytes(), "<f4").copy()
        numbers[len(numbers) // 2] = value
        (folder / path).write_bytes(numbers.tobytes())
        rehash(folder)

    return apply


def rehash(folder):
    """Let every listed size and hash be right again."""
    try:
        write_manifest(folder, json.loads((folder / "manifest.json").read_text()))
    except ModelError:
        return


def damages(manifest):
    """Give N_CASES damages as (name, function of a bundle's folder)."""
    rng = np.random.default_rng(SEED)
    cases = []

    def add(name, apply):
        cases.append((name, apply))

    for path in PAYLOAD:
        for i in range(16):
            add(f"{path} flip {i}", edit_file(path, lambda data: flip(data, rng, 1)))
        for i in range(4):
            add(f"{path} cut {i}", edit_file(path, lambda data: data[: rng.integers(len(data))]))
        add(f"{path} longer", edit_file(path, lambda data: data + b"\0"))
        add(f"{path} empty", edit_file(path, lambda data: b""))
        add(f"{path} zeros", edit_file(path, lambda data: bytes(len(data))))
        add(f"{path} missing", lambda folder, path=path: (folder / path).unlink())
        add(f"{path} a folder", lambda folder, path=path: ((folder / path).unlink(), (folder / path).mkdir()))
        add(f"{path} links out", link(path, "/etc/hostname"))
        add(f"{path} links to itself", link(path, path))
        add(f"{path} links to a device", link(path, "/dev/zero"))
    for i in range(60):
        add(f"manifest flip {i}", edit_file("manifest.json", lambda data: flip(data, rng, 1)))
    for i in range(15):
        add(f"manifest cut {i}", edit_file("manifest.json", lambda data: data[: rng.integers(len(data))]))
    for path in ("/dev/zero", "/etc/passwd", "missing", "manifest.json"):
        add(f"manifest links to {path}", link("manifest.json", path))
    add("manifest too large", edit_file("manifest.json", lambda data: data + b" " * (1 << 20)))
    for depth in (9, 1000, 100_000):
        add(f"nesting {depth}", edit_file("manifest.json", lambda _, n=depth: b"[" * n + b"]" * n))
        add(
            f"nesting {depth} inside",
            replace_text('"recipe": "none"', '"recipe": ' + '{"a":' * depth + "1" + "}" * depth),
        )
    for text in (b"", b"null", b"[]", b"{}", b"\xff\xfe{}", b'{"format_version": 1}', b"\x80\x04N."):
        add(f"manifest is {text!r}", edit_file("manifest.json", lambda _, text=text: text))
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 5000):
        add(f"number {number[:9]}", replace_text('"fmin": 20.0', f'"fmin": {number}'))
        add(f"figure {number[:9]}", replace_text("120.5", number))
    for path in ("voices.f32", "golden.f32"):
        for value in (np.nan, np.inf, -np.inf):
            add(f"{path} holds {value}", not_finite(path, value))
    for key in ('"name": "tiny"', '"format_version": 1', '"fmin": 20.0', '"path": "encoder.onnx"', '"snr_db": 120.5'):
        add(f"{key} twice", replace_text(key, f"{key}, {key}"))
    for version in (0, 2, -1, 1.0, "1", True, None, [1], 10**17):
        add(f"version {version}", edit_manifest(lambda m, v=version: m.update(format_version=v)))
    for path in (
        "../voices.f32", "/etc/passwd", "a/../../x", "./voices.f32", "", ".", "..", "a//b", "a\\b", "C:\\x", "~/x",
        "a\0b", "-" * 300, "voices.f32/", "//host/x", "\u202egnp", ".hidden", " voices.f32",
    ):  # fmt: skip
        for where in (("files", 0, "path"), ("voices", "file"), ("graphs", "encoder", "files", "onnx")):
            add(f"path {path[:20]!r} at {where[0]}", edit_manifest(lambda m, p=path, w=where: put(m, w, p)))
    for size in (0, -1, 1 << 17, 1 << 31, 1 << 40, 1 << 56, 1.5, "8", None, True):
        for where in (("graphs", "encoder", "states", 0, "shape", 0), ("golden", "arrays", 0, "shape", 1)):
            add(f"size {size} at {where[0]}", edit_manifest(lambda m, s=size, w=where: put(m, w, s)))
        add(f"{size} bytes", edit_manifest(lambda m, s=size: put(m, ("files", 0, "bytes"), s)))
    for shape in ([], [4], [1, 2, 3], "hops", [1 << 16, 1 << 16], ["hops"], ["frames", 80], [[1], 80]):
        for where in (("graphs", "decoder", "inputs", 0), ("graphs", "decoder", "states", 0), ("golden", "arrays", 0)):
            add(f"shape {shape} at {where[1]}", edit_manifest(lambda m, s=shape, w=where: put(m, (*w, "shape"), s)))
    for entry in range(len(PAYLOAD)):
        for digest in ("0" * 64, "A" * 64, "0" * 63, "", None):
            change = edit_manifest(lambda m, e=entry, d=digest: put(m, ("files", e, "sha256"), d))
            add(f"hash {entry} {str(digest)[:4]}", change)
    for key in manifest:
        if key == "manifest_sha256":
            continue
        add(f"without {key}", edit_manifest(lambda m, k=key: {n: v for n, v in m.items() if n != k}))
        add(f"{key} misspelt", edit_manifest(lambda m, k=key: {n + "s" * (n == k): v for n, v in m.items()}))
    places = [path for path in leaves(manifest) if path != ("manifest_sha256",)]
    while len(cases) < N_CASES:
        path = places[rng.integers(len(places))]
        add(f"surprise at {path}", edit_manifest(lambda m, p=path: put(m, p, {"surprise": 1})))
    assert len(cases) == N_CASES, "more kinds of damage than cases: raise N_CASES"
    return cases


@pytest.fixture
def opened(monkeypatch):
    """Collects every path that Python opens, lists, links or makes while `opened.on` is set."""
    log = [] if not hasattr(sys, "edgevc_audit") else sys.edgevc_audit
    log.clear()
    if not hasattr(sys, "edgevc_audit"):
        # an audit hook cannot be taken away again, so there is one per process
        sys.edgevc_audit = log
        sys.edgevc_audit_on = False
        watched = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.symlink", "os.exec")

        def hook(event, arguments):
            # an int is a descriptor, opened by an earlier event
            if sys.edgevc_audit_on and event in watched and not isinstance(arguments[0], int):
                log.append(arguments[0])

        sys.addaudithook(hook)
    yield log
    sys.edgevc_audit_on = False


def test_500_damaged_bundles_end_in_model_error(tiny_bundle_path, tmp_path, opened):
    manifest = json.loads((tiny_bundle_path / "manifest.json").read_text())
    accepted, slow, outside = [], [], []
    tracemalloc.start()
    for number, (name, damage) in enumerate(damages(manifest)):
        folder = tmp_path / str(number)
        shutil.copytree(tiny_bundle_path, folder)
        damage(folder)
        before = sorted(path.name for path in folder.iterdir())
        opened.clear()
        sys.edgevc_audit_on = True
        start = time.perf_counter()
        try:
            ModelBundle.open(folder)
            accepted.append(name)
        except ModelError:
            pass
        finally:
            sys.edgevc_audit_on = False
        slow += [name] if time.perf_counter() - start > TIME_LIMIT_S else []
        outside += [(name, path) for path in opened if not Path(path).is_relative_to(folder)]
        assert sorted(path.name for path in folder.iterdir()) == before, name
        shutil.rmtree(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not accepted
    assert not slow
    assert not outside
    assert peak < MEMORY_LIMIT_BYTES


def test_damaged_archives_are_refused_or_read_whole(tiny_bundle_path, tiny_bundle, tmp_path, rng):
    """A flip in an entry's date does no harm, so a damaged archive may open, but then nothing of it has changed."""
    archive = Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle_path))
    data = archive.read_bytes()
    refused = 0
    for number in range(150):
        kind = number % 3
        # the directory of an archive stands at its end, and is where most of its rules are
        place = rng.integers(len(data) - 1200, len(data)) if kind == 0 else rng.integers(len(data))
        broken = bytearray(data)
        if kind == 2:
            del broken[place:]
        else:
            broken[place] ^= 1 << rng.integers(8)
        archive.write_bytes(broken)
        try:
            assert ModelBundle.open(archive).sha256 == tiny_bundle.sha256
        except ModelError:
            refused += 1
    assert refused > 75


def test_hostile_archives_are_refused(tiny_bundle_path, tmp_path):
    names = [*PAYLOAD, "manifest.json"]

    def archive(name, change, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", compression) as file:
            for entry in names:
                info = zipfile.ZipInfo(entry)
                info.compress_type = compression
                data = (tiny_bundle_path / entry).read_bytes()
                change(file, info, data)
        return path

    def plain(file, info, data):
        file.writestr(info, data)

    def bomb(file, info, data):
        file.writestr(info, data if info.filename == "manifest.json" else bytes(80 << 20))

    def large_manifest(file, info, data):
        file.writestr(info, data + b" " * (40 << 20) if info.filename == "manifest.json" else data)

    def linked(file, info, data):
        if info.filename == "voices.f32":
            info.external_attr = 0o120777 << 16
            data = b"/etc/passwd"
        file.writestr(info, data)

    def escaping(file, info, data):
        info.filename = "../" + info.filename
        file.writestr(info, data)

    def many(file, info, data):
        file.writestr(info, data)
        for i in range(100):
            file.writestr(f"more/{info.filename}{i}", b"")

    def commented(file, info, data):
        file.comment = b"hello"
        file.writestr(info, data)

    ModelBundle.open(archive("plain", plain))
    ModelBundle.open(archive("stored", plain, zipfile.ZIP_STORED))
    tracemalloc.start()
    for name, change in {
        "bomb": bomb, "large": large_manifest, "linked": linked, "escaping": escaping, "many": many, "note": commented,
    }.items():  # fmt: skip
        path = archive(name, change)
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
        with pytest.raises(ModelError):
            ModelBundle.open(path)
        assert tracemalloc.get_traced_memory()[1] - start < MEMORY_LIMIT_BYTES, name
    tracemalloc.stop()
    with pytest.raises(ModelError, match="stored or deflated"):
        ModelBundle.open(archive("lzma", plain, zipfile.ZIP_LZMA))
    assert {path.suffix for path in tmp_path.iterdir()} == {".zip"}, "nothing may be extracted"


# Opens the graphs of the bundles named on the command line, as a program would, and prints one word for each.
PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from edgevc.engines import open_graph
from edgevc.bundle import ModelBundle
from edgevc.errors import EngineError, ModelError
for path in sys.argv[2:]:
    try:
        graph = open_graph(ModelBundle.open(path), "encoder", sys.argv[1])
        print("opened")
    except (ModelError, EngineError) as error:
        print(type(error).__name__)
"""


def damaged_graphs(tiny_bundle_path, folder, engine, rng, n_cases):
    """Bundles whose graph is damaged and whose manifest is right: only the engine can see it."""
    path = "encoder.onnx" if engine == "onnx" else "encoder.tflite"
    for number in range(n_cases):
        target = shutil.copytree(tiny_bundle_path, folder / f"{engine}{number}")
        data = (target / path).read_bytes()
        if number % 4 == 0:
            data = data[: rng.integers(len(data))]
        elif number % 4 == 1:
            start = rng.integers(len(data) - 64)
            data = data[:start] + bytes(64) + data[start + 64 :]
        else:
            # the structure of both formats is in their last part, the weights are before it
            head, tail = data[:-8000], data[-8000:]
            data = head + flip(tail, rng, 1 if number % 4 == 2 else 8)
        (target / path).write_bytes(data)
        rehash(target)
        yield target


@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize("n_cases", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_damaged_graphs_with_right_hashes_never_crash_the_program(tiny_bundle_path, tmp_path, engine, n_cases, rng):
    """Wrong values are the engine's fault as far as anyone can tell, so EngineError is right for those."""
    bundles = [str(path) for path in damaged_graphs(tiny_bundle_path, tmp_path, engine, rng, n_cases)]
    environment = {
        "PATH": "",
        "PYTHONPATH": str(Path(edgevc.__file__).parents[1]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, engine, *bundles],
        env=environment, stdout=subprocess.PIPE, check=False, timeout=60 * n_cases, text=True,
    )  # fmt: skip
    words = done.stdout.split()
    assert done.returncode == 0
    assert len(words) == n_cases
    assert set(words) <= {"opened", ModelError.__name__, EngineError.__name__}
    assert words.count(ModelError.__name__) >= n_cases // 8
