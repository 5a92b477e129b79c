"""Hostile manifests, folders, arrays and archives; the graphs are good."""

import hashlib
import json
import os
import shutil
import stat
import struct
import warnings
import zipfile

import numpy as np
from helpers.hostile_bundles import seal, write_bundle
from helpers.tiny_bundle import N_VOICE

from hostile import case


def good(folder):
    """Write a bundle that runs; return its manifest."""
    return write_bundle(folder, "onnx")


def write_sealed(folder, manifest):
    """Write a manifest whose own hash is right, whatever else it says."""
    text = json.dumps(manifest | {"manifest_sha256": "-" * 64})
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(text.replace("-" * 64, digest))


def edited(folder, **sections):
    """Change values of whole sections."""
    manifest = good(folder)
    for section, change in sections.items():
        if isinstance(change, dict):
            manifest[section].update(change)
        else:
            manifest[section] = change
    write_sealed(folder, manifest)


@case("onnx")
def lookahead_below_zero(folder):
    edited(folder, latency={"lookahead_samples": -1})


@case("onnx")
def no_latency(folder):
    edited(folder, latency={"latency_samples": 0})


@case("onnx")
def ten_seconds_of_latency(folder):
    edited(folder, latency={"latency_samples": 160_000})


@case("onnx")
def hop_of_one_sample(folder):
    edited(folder, features={"hop_length": 1}, latency={"hop_samples": 1})


@case("onnx")
def hop_of_a_window(folder):
    edited(folder, features={"hop_length": 400}, latency={"hop_samples": 400})


@case("onnx")
def another_sample_rate(folder):
    edited(folder, features={"sample_rate": 48_000})


@case("onnx")
def another_synthesis(folder):
    edited(folder, synthesis={"n_fft": 1024})


@case("onnx")
def short_segments(folder):
    edited(folder, synthesis={"segment_length": 16})


@case("onnx")
def state_of_another_shape(folder):
    manifest = good(folder)
    manifest["graphs"]["encoder"]["states"][0]["shape"] = [2, 80]
    write_sealed(folder, manifest)


@case("onnx")
def phones_with_terminal_escapes(folder):
    edited(folder, phones=["\x1b]0;owned\x07\x1b[2J"] * 40)


@case("onnx")
def a_phone_too_many(folder):
    edited(folder, phones=["SIL"] * 41)


@case("onnx")
def name_with_terminal_escapes(folder):
    edited(folder, name="\x1b]0;owned\x07")


def raw(folder, text):
    good(folder)
    (folder / "manifest.json").write_bytes(text)


@case("onnx")
def half_a_million_brackets(folder):
    raw(folder, b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}")


@case("onnx")
def ninety_thousand_objects(folder):
    raw(folder, b'{"a":' * 90_000 + b"1" + b"}" * 90_000)


@case("onnx")
def a_key_twice_behind_many(folder):
    keys = [f'"{i:05x}":1' for i in range(90_000)]
    raw(folder, ("{" + ",".join([*keys, keys[-1]]) + "}").encode())


@case("onnx")
def not_a_number(folder):
    raw(folder, b'{"a": NaN}')


@case("onnx")
def number_beyond_float(folder):
    raw(folder, b'{"a": 1e999}')


@case("onnx")
def number_of_many_digits(folder):
    raw(folder, b'{"a": ' + b"9" * 900_000 + b"}")


@case("onnx")
def fraction_of_many_digits(folder):
    raw(folder, b'{"a": 0.' + b"9" * 900_000 + b"}")


def first_path(folder, path):
    manifest = good(folder)
    manifest["files"][0]["path"] = path
    write_sealed(folder, manifest)


@case("onnx")
def path_with_backslashes(folder):
    first_path(folder, "..\\..\\etc\\passwd")


@case("onnx")
def absolute_path(folder):
    first_path(folder, "/etc/passwd")


@case("onnx")
def path_with_another_slash(folder):
    first_path(folder, "..\u2215etc")


@case("onnx")
def path_with_a_line_end(folder):
    first_path(folder, "encoder.onnx\n")


@case("onnx")
def paths_that_differ_by_case(folder):
    manifest = good(folder)
    manifest["files"].append(manifest["files"][0] | {"path": manifest["files"][0]["path"].upper()})
    write_sealed(folder, manifest)


@case("onnx")
def a_voice_twice(folder):
    manifest = good(folder)
    manifest["voices"]["list"].append(dict(manifest["voices"]["list"][0]))
    write_sealed(folder, manifest)


@case("onnx", runs=True)
def a_voice_at_2_khz(folder):
    manifest = good(folder)
    manifest["voices"]["list"][0].update(log2_f0_mean=11.0, log2_f0_std=0)
    write_sealed(folder, manifest)


# ---- folders


def in_place_of_voices(folder, make):
    manifest = good(folder)
    path = folder / "voices.f32"
    path.unlink()
    make(path)
    write_sealed(folder, manifest)


@case("onnx")
def link_that_leaves_the_folder(folder):
    in_place_of_voices(folder, lambda path: path.symlink_to("/etc/passwd"))


@case("onnx")
def link_to_itself(folder):
    in_place_of_voices(folder, lambda path: path.symlink_to("voices.f32"))


@case("onnx")
def pipe_in_place_of_a_file(folder):
    in_place_of_voices(folder, os.mkfifo)


@case("onnx")
def device_in_place_of_a_file(folder):
    in_place_of_voices(folder, lambda path: path.symlink_to("/dev/zero"))


@case("onnx")
def folder_that_leaves_the_folder(folder):
    manifest = good(folder)
    (folder / "d").symlink_to("/etc")
    manifest["files"].append({"path": "d/passwd", "bytes": 100, "sha256": "0" * 64})
    write_sealed(folder, manifest)


@case("onnx")
def manifest_that_leaves_the_folder(folder):
    good(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/etc/passwd")


@case("onnx")
def pipe_in_place_of_the_manifest(folder):
    good(folder)
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


# ---- arrays


def voices_of(folder, value):
    manifest = good(folder)
    np.full((2, N_VOICE), value, "<f4").tofile(folder / "voices.f32")
    seal(folder, manifest)


@case("onnx")
def voices_that_are_no_numbers(folder):
    voices_of(folder, np.nan)


@case("onnx")
def voices_without_end(folder):
    voices_of(folder, np.inf)


@case("onnx")
def voices_of_3e38(folder):
    voices_of(folder, 3e38)


@case("onnx", runs=True)
def voices_of_almost_nothing(folder):
    voices_of(folder, 1e-42)


def golden_of(folder, value):
    manifest = good(folder)
    golden = np.fromfile(folder / "golden.f32", "<f4")
    golden[:] = value
    golden.tofile(folder / "golden.f32")
    seal(folder, manifest)


@case("onnx")
def golden_vectors_that_are_no_numbers(folder):
    golden_of(folder, np.nan)


@case("onnx")
def golden_vectors_of_nothing(folder):
    golden_of(folder, 0)


@case("onnx")
def golden_vectors_beside_which_any_error_is_small(folder):
    golden_of(folder, 3e38)


@case("onnx")
def tolerance_above_a_half(folder):
    manifest = good(folder)
    manifest["golden"]["tolerance"]["onnx"] = 0.51
    write_sealed(folder, manifest)


# ---- archives


def zipped(folder, build, change=lambda data: data):
    """Let `build(archive, files)` write beside `folder`; return the archive after `change` of its bytes."""
    good(folder)
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    shutil.rmtree(folder)
    path = folder.with_name(folder.name + ".zip")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # two entries of one name are what some cases are about
        warnings.simplefilter("ignore")
        build(archive, files)
    path.write_bytes(change(path.read_bytes()))
    return path


def add_all(archive, files, prefix=""):
    for name, data in files.items():
        archive.writestr(prefix + name, data)


@case("onnx", runs=True)
def plain_archive(folder):
    return zipped(folder, add_all)


@case("onnx")
def archive_that_unpacks_to_64_mib_of_voices(folder):
    def build(archive, files):
        add_all(archive, files | {"voices.f32": bytes(64 << 20)})

    return zipped(folder, build)


@case("onnx")
def archive_that_declares_less_than_it_unpacks(folder):
    def build(archive, files):
        voices = files.pop("voices.f32")
        add_all(archive, files)
        archive.writestr("voices.f32", voices + bytes(70 << 20))

    def change(data):
        data = bytearray(data)
        struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 128)
        return bytes(data)

    return zipped(folder, build, change)


@case("onnx")
def archive_whose_entries_overlap(folder):
    def change(data):
        data, at = bytearray(data), data.index(b"PK\x01\x02")
        while data[at : at + 4] == b"PK\x01\x02":
            lengths = struct.unpack_from("<HHH", data, at + 28)
            struct.pack_into("<I", data, at + 42, 0)
            at += 46 + sum(lengths)
        return bytes(data)

    return zipped(folder, add_all, change)


@case("onnx")
def archive_with_a_link(folder):
    def build(archive, files):
        files.pop("voices.f32")
        add_all(archive, files)
        link = zipfile.ZipInfo("voices.f32")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")

    return zipped(folder, build)


@case("onnx", runs=True)
def archive_with_paths_that_leave_it(folder):
    # nothing is unpacked, and what is not listed is not read
    return zipped(folder, lambda archive, files: add_all(archive, files | {"../../evil": b"x", "/evil": b"x"}))


@case("onnx")
def archive_with_a_name_twice(folder):
    def build(archive, files):
        add_all(archive, files)
        archive.writestr("voices.f32", "x")

    return zipped(folder, build)


@case("onnx")
def archive_with_two_manifests(folder):
    def build(archive, files):
        add_all(archive, files)
        add_all(archive, files, "second/")

    return zipped(folder, build)


@case("onnx")
def archive_with_20_thousand_entries(folder):
    return zipped(folder, lambda archive, files: add_all(archive, files | {f"e{i}": b"" for i in range(20_000)}))


@case("onnx", runs=True)
def archive_with_a_name_that_ends_early(folder):
    # zipfile ends a name at a zero; the hash says that it is the right file
    def build(archive, files):
        files["voices.f32QX"] = files.pop("voices.f32")
        add_all(archive, files)

    return zipped(folder, build, lambda data: data.replace(b"voices.f32QX", b"voices.f32\0X"))


@case("onnx")
def archive_with_a_name_of_nothing(folder):
    def change(data):
        data = bytearray(data)
        data[data.rindex(b"PK\x01\x02") + 46] = 0
        data[data.rindex(b"PK\x03\x04") + 30] = 0
        return bytes(data)

    return zipped(folder, lambda archive, files: add_all(archive, files | {"z": b""}), change)
