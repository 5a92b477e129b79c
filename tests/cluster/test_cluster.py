"""A batch on Ray: on this machine with plain folders, and on several machines with an S3-compatible storage.

Needs the extra `ray`, s3fs, moto's server, and root for network namespaces, which stand for machines: `make cluster`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from helpers.batch_runs import SENTENCE, records
from helpers.cluster import SUBNET, machines, run, s3_environment, s3_service, wait_for

import edgevc
from edgevc.batch.manifest import verify
from edgevc.batch.plan import MANIFEST
from edgevc.batch.shards import SHARDS
from edgevc.errors import MissingPackageError

N_FILES = int(os.environ.get("EDGEVC_CLUSTER_FILES", "150"))


def convert(*words, env=None, cwd=None, prefix=()):
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "edgevc", "convert", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **(env or {})},
        cwd=cwd,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=900)
    assert process.returncode == code, err
    return out + err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Recordings of half a second to two, in ten folders."""
    samples, rate = edgevc.read(SENTENCE)
    folder = tmp_path_factory.mktemp("source") / "corpus"
    for i in range(N_FILES):
        path = folder / f"speaker{i % 10}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = 37 * i % 20_000
        edgevc.write(path, samples[start : start + 8000 + 160 * (i % 150)], rate)
    (folder / "damaged.wav").write_bytes(b"RIFFnonsense")
    return folder


@pytest.fixture(scope="module")
def wanted(corpus, tmp_path_factory):
    """What one machine makes of it: names to bytes."""
    out = tmp_path_factory.mktemp("local") / "out"
    finish(convert(corpus, out, "--voice", "anon", "--jobs", "auto"), code=5)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.wav")}


def test_one_machine_and_plain_folders_give_what_jobs_gives(tmp_path, corpus, wanted):
    # what lies in the working folder is no module of the workers
    for name in ("json", "fsspec", "soundfile", "ray", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w')\n")
    program = "import sys; from edgevc.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["convert", str(corpus), "out", "--voice", "anon", "--ray", "local"]
    done = subprocess.run([sys.executable, "-P", "-c", program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert "damaged.wav" in done.stderr
    assert not (tmp_path / "executed").exists()
    out = tmp_path / "out"
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.wav")} == wanted
    assert not [path for path in out.rglob("*") if path.name.startswith(".edgevc-") or path.name == SHARDS]
    difference = verify(out)
    assert (difference.failed, difference.missing, difference.changed) == (["damaged.wav"], [], [])
    assert {record["voice"] for record in records(out) if "error" not in record} == {"anon"}
    # the manifest is the same as without a cluster: both know what the other has done
    text = finish(convert(corpus, out, "--voice", "anon", "--jobs", 2), code=5)
    assert f"{N_FILES} were done before" in text
    (out / "speaker1" / "1.wav").unlink()
    text = finish(convert(corpus, out, "--voice", "anon", "--ray", "local"), code=5)
    assert "1 files converted" in text
    assert (out / "speaker1" / "1.wav").read_bytes() == wanted["speaker1/1.wav"]


def test_a_single_file_is_taken_as_well(corpus):
    from edgevc.batch.cluster import plan_on
    from edgevc.batch.storage import Storage

    plan, times = plan_on([str(corpus / "speaker1" / "1.wav")], Storage(str(corpus.parent / "out")), ".wav")
    assert [plan.source(0), plan.output(0)] == [str(corpus / "speaker1" / "1.wav"), "1.wav"]
    assert times == [(corpus / "speaker1" / "1.wav").stat().st_mtime_ns]


def test_no_cluster_is_one_line(tmp_path, corpus):
    text = finish(convert(corpus, tmp_path / "out", "--voice", "anon", "--ray", "127.0.0.1:1"), code=4)
    assert "no Ray cluster at '127.0.0.1:1'" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://user:secret@bucket/x", "must hold no user or password"),
        ("nonsense://bucket/x", "give a path or a URL"),
    ],
)
def test_a_wrong_url_is_one_line(corpus, url, message):
    text = finish(convert(corpus, url, "--voice", "anon", "--ray", "local"), code=2)
    assert message in text
    assert "secret" not in text


def upload(storage, corpus):
    for path in corpus.rglob("*.wav"):
        storage.pipe_file(f"bucket/corpus/{path.relative_to(corpus)}", path.read_bytes())


def test_three_machines_lose_one_and_nothing_else(tmp_path, corpus, wanted, monkeypatch):
    """A head and two nodes, S3-compatible storage, a node that dies in the middle: every file once, the same bytes."""
    import s3fs

    # Ray's sockets lie there, and the path of a socket is short
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    with s3_service("0.0.0.0") as service:
        endpoint = f"http://{SUBNET}.1:{service.rpartition(':')[2]}"
        environment = s3_environment(endpoint)
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, environment[name])
        with machines(3, folder, environment) as (head, *nodes):
            storage = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
            storage.mkdir("bucket")
            upload(storage, corpus)
            head.start_ray(cores=0)
            head.wait_until_ready()
            for node in nodes:
                # one after the other: they share a disk, on which they choose names for their sockets
                node.start_ray(head.address)
                node.wait_until_ready()
            words = ("s3://bucket/corpus", "s3://bucket/out", "--voice", "anon", "--ray", f"{head.address}:6399")
            process = convert(*words, env=head.environment, prefix=head.command("env"))
            wait_for("the first output", 300, lambda: process.poll() is not None or len(storage.find("bucket/out")) > 5)
            time.sleep(0.5)
            assert process.poll() is None, process.communicate()
            nodes[1].kill()
            text = finish(process, code=5)
            assert f"{N_FILES} files converted" in text
            assert "1 failed" in text
            found = {path.removeprefix("bucket/out/"): storage.cat_file(path) for path in storage.find("bucket/out")}
            lines = [json.loads(line) for line in found.pop(MANIFEST).splitlines()]
            assert found == wanted
            assert sorted(line["output"] for line in lines if "error" not in line) == sorted(wanted)
            assert len(lines) == N_FILES + 1
            # again: nothing is left to do, with one node
            text = finish(convert(*words, env=head.environment, prefix=head.command("env")), code=5)
            assert f"{N_FILES} were done before" in text


def test_ray_is_asked_for_by_name(monkeypatch):
    from edgevc.batch.cluster import joined

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"edgevc\[ray\]"), joined("local"):
        pass


def test_a_table_of_audio_keeps_its_rows(tmp_path):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples, rate = edgevc.read(SENTENCE)
    rows = [{"id": i, "audio": samples[: 8000 + 100 * i], "sample_rate": rate} for i in range(3)]
    audio = pa.array([row["audio"] for row in rows], pa.list_(pa.float32()))
    table = pa.table({"id": [0, 1, 2], "audio": audio, "sample_rate": [rate] * 3})
    pq.write_table(table, tmp_path / "in.parquet")
    example = SENTENCE.parent / "table_of_audio.py"
    run(sys.executable, example, tmp_path / "in.parquet", tmp_path / "out.parquet", "slt")
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema == table.schema
    assert out["id"].to_pylist() == [0, 1, 2]
    converter = edgevc.VoiceConverter()
    for row, found in zip(rows, out["audio"].to_pylist(), strict=True):
        np.testing.assert_array_equal(np.float32(found), converter.convert(row["audio"], "slt", sample_rate=rate))
