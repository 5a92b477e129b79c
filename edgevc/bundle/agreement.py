"""What two parts of a manifest must agree on."""

from __future__ import annotations

from edgevc.bundle.fields import broken
from edgevc.bundle.specs import Contents, GoldenSpec
from edgevc.errors import ModelError
from edgevc.limits import CHUNK_HOPS
from edgevc.text import shortened


def check_together(contents: Contents) -> None:
    """Compare the values of a manifest with one another.

    Raises:
        ModelError: two of them contradict one another.
    """
    _check_ranges(contents)
    _check_widths(contents)
    _check_voices(contents)
    if contents.golden is not None:
        _check_golden(contents, contents.golden)


def _check_ranges(contents: Contents) -> None:
    features, latency, pitch, synthesis = contents.features, contents.latency, contents.pitch, contents.synthesis
    if features is not None:
        half = features.sample_rate / 2
        _at_most("manifest.features.win_length", features.win_length, "n_fft", features.n_fft)
        _at_most("manifest.features.hop_length", features.hop_length, "win_length", features.win_length)
        _at_most("manifest.features.fmax", features.fmax, "half of sample_rate", half)
        if features.fmin >= features.fmax:
            raise broken("manifest.features.fmin", f"below fmax = {features.fmax}", features.fmin)
    if latency is not None and features is not None and latency.hop_samples != features.hop_length:
        rule = f"features.hop_length = {features.hop_length}"
        raise broken("manifest.latency.hop_samples", rule, latency.hop_samples)
    if latency is not None:
        least = max(latency.lookahead_samples, pitch.latency_samples if pitch is not None else 0)
        if latency.latency_samples < least:
            rule = f"at least the {least} samples that encoder and pitch tracker hear ahead"
            raise broken("manifest.latency.latency_samples", rule, latency.latency_samples)
    if synthesis is not None:
        _at_most("manifest.synthesis.segment_length", synthesis.segment_length, "n_fft", synthesis.n_fft)
    if pitch is not None and pitch.f0_max < pitch.f0_min + 1:
        raise broken("manifest.pitch.f0_max", f"at least 1 Hz above f0_min = {pitch.f0_min}", pitch.f0_max)


def _at_most(where: str, value: float, what: str, bound: float) -> None:
    if value > bound:
        raise broken(where, f"at most {what} = {bound:g}", value)


def _check_widths(contents: Contents) -> None:
    encoder, decoder = contents.graphs.get("encoder"), contents.graphs.get("decoder")
    rules = []
    if encoder is not None and contents.features is not None:
        n_mels = contents.features.n_mels
        rules.append(("encoder input log_mel", encoder.inputs[0].shape[1], "features.n_mels", n_mels))
    if encoder is not None and decoder is not None:
        content = encoder.outputs[0].shape[1]
        rules.append(("decoder input content", decoder.inputs[0].shape[1], "encoder output content", content))
        if encoder.chunk_hops != decoder.chunk_hops:
            raise ModelError(
                f"graphs.encoder and graphs.decoder must have the same chunk_hops, got {encoder.chunk_hops} and "
                f"{decoder.chunk_hops}; export the model again"
            )
    if decoder is not None and contents.synthesis is not None:
        bins = 3 * (contents.synthesis.n_fft // 2 + 1)
        rules.append(("decoder output filters", decoder.outputs[0].shape[1], "3 * (synthesis.n_fft / 2 + 1)", bins))
    for what, got, rule, expected in rules:
        if got != expected:
            raise ModelError(f"width of {what} must equal {rule} = {expected}, got {got}; export the model again")
    if encoder is not None and contents.phones and len(contents.phones) != encoder.outputs[1].shape[1]:
        raise ModelError(
            f"phones must name the {encoder.outputs[1].shape[1]} columns of the encoder's output, got "
            f"{len(contents.phones)} names; export the model again"
        )


def _check_voices(contents: Contents) -> None:
    for part in ("name", "row"):
        values = [str(getattr(voice, part)) for voice in contents.voices]
        if len(set(values)) != len(values):
            found = shortened(", ".join(values))
            raise ModelError(f"every voice must have its own {part}, got {found}; export the model again")


def _check_golden(contents: Contents, golden: GoldenSpec) -> None:
    n_hops = golden.n_hops
    expected: dict[str, tuple[int, ...]] = {}
    for graph in contents.graphs.values():
        longest = graph.block_hops or max(CHUNK_HOPS)
        if n_hops % longest:
            raise broken("manifest.golden.n_hops", f"a multiple of {longest}", n_hops)
        expected |= {f"{graph.name}/input/{spec.name}": spec.shape_for(n_hops) for spec in graph.inputs}
        for engine in graph.files:
            if engine not in golden.tolerance:
                raise ModelError(f"golden.tolerance must give a number for {engine}; export the model again")
            expected |= {f"{graph.name}/{engine}/{spec.name}": spec.shape_for(n_hops) for spec in graph.outputs}
    arrays = contents.golden_arrays
    for name, wanted in expected.items():
        if name not in arrays or arrays[name][1] != wanted:
            found = arrays[name][1] if name in arrays else "nothing"
            raise ModelError(f"golden.arrays must hold {name} of shape {wanted}, got {found}; export the model again")
    if unknown := sorted(set(arrays) - set(expected)):
        known = ", ".join(expected)
        raise ModelError(f"golden.arrays has the unknown array {shortened(unknown[0])}; known: {known}")
