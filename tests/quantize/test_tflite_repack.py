"""A repacked .tflite file is smaller and says the same."""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgevc.quantize.schemes.repack import repack

ENCODER = Path(__file__).resolve().parents[2] / "models" / "tiny" / "encoder.tflite"


def answers(data):
    interpreter = Interpreter(model_content=data, num_threads=1)
    found = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        rng = np.random.default_rng(1)
        inputs = {
            key: rng.normal(size=detail["shape"]).astype(np.float32)
            for key, detail in runner.get_input_details().items()
        }
        found |= {f"{name} {key}": value for key, value in runner(**inputs).items()}
    return found


def as_converted(data):
    """The same file as a converter writes it: nothing shared, long names, and numbers for inputs and outputs."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for subgraph in model.subgraphs:
        for i, tensor in enumerate(subgraph.tensors):
            tensor.name = f"StatefulPartitionedCall/a/long/way/down/{i}".encode()
    for signature in model.signatureDefs:
        for tensors, kind in ((signature.inputs, "args"), (signature.outputs, "output")):
            for i, tensor in enumerate(tensors):
                tensor.name = f"{kind}_{i}".encode()
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_it_is_a_fifth_smaller_and_answers_bit_for_bit_the_same():
    shipped = ENCODER.read_bytes()
    signatures = Interpreter(model_content=shipped).get_signature_list()
    original = as_converted(shipped)
    signature = schema.ModelT.InitFromPackedBuf(shipped, 0).signatureDefs[0]
    inputs, outputs = ([tensor.name.decode() for tensor in kind] for kind in (signature.inputs, signature.outputs))
    packed = repack(original, inputs, outputs)
    assert len(packed) < 0.82 * len(original)
    assert Interpreter(model_content=packed).get_signature_list() == signatures
    expected, found = answers(shipped), answers(packed)
    # content, phones and ten states, for 1, 2 and 4 hops
    assert len(expected) == 3 * 12
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    # a name that each signature has is stored once
    assert packed.count(b"state_averages_in") == 1
    # nothing is left to be shared
    assert len(repack(packed)) == len(packed)


def test_without_tensor_names_it_is_smaller_still_and_the_signatures_keep_theirs():
    named = repack(ENCODER.read_bytes())
    nameless = repack(named, tensor_names=False)
    tensors = [t for graph in schema.ModelT.InitFromPackedBuf(nameless, 0).subgraphs for t in graph.tensors]
    assert not any(tensor.name for tensor in tensors)
    # a string has its length and a zero behind it
    assert len(nameless) < len(named) - 8 * len(tensors)
    expected, found = answers(named), answers(nameless)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
