"""A small GGUF file with every kind of key and the tensor types we convert, and what gguf-py makes of them.

    python3 make_gguf.py OUT     writes OUT/gguf_types.gguf and OUT/gguf_types.safetensors
"""
import sys

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value

from store import save_file


def blocks(rng, kind, rows, cols):
    """Random bytes of a quantised type, with finite scales: in row 0 a subnormal one, in row 1 the largest."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
    n_scales = {Type.Q4_1: 2, Type.Q5_1: 2, Type.Q4_K: 2, Type.Q5_K: 2}.get(kind, 1)
    scales = rng.standard_normal((rows, cols // block, n_scales)).astype(np.float16)
    scales[0, 0, 0] = np.float16(6e-8)  # subnormal
    scales[1, 0, 0] = np.float16(65504)
    if kind == Type.Q6_K:  # its scale stands last
        raw[..., -2:] = scales.view(np.uint8)
    else:
        raw[..., :2 * n_scales] = scales.view(np.uint8)
    return raw.reshape(rows, -1)


def halves():
    """Every sign and exponent of a 16-bit float with a few mantissas; no NaN."""
    bits = np.arange(0, 65536, 41, dtype=np.uint32)
    bits = np.concatenate([bits, [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00]])
    return bits.astype(np.uint16)


def main(out):
    rng = np.random.default_rng(7)
    w = gguf.GGUFWriter(f"{out}/gguf_types.gguf", "llama")
    w.add_key_value("test.u8", 200, Value.UINT8)
    w.add_key_value("test.i8", -100, Value.INT8)
    w.add_key_value("test.u16", 60000, Value.UINT16)
    w.add_key_value("test.i16", -30000, Value.INT16)
    w.add_key_value("test.u32", 4000000000, Value.UINT32)
    w.add_key_value("test.i32", -2000000000, Value.INT32)
    w.add_key_value("test.u64", 2**63 + 5, Value.UINT64)
    w.add_key_value("test.i64", -(2**62), Value.INT64)
    w.add_key_value("test.f32", 0.1, Value.FLOAT32)
    w.add_key_value("test.f64", 0.1, Value.FLOAT64)
    w.add_key_value("test.bool", True, Value.BOOL)
    w.add_key_value("test.string", "a \u00e9 z", Value.STRING)
    w.add_array("test.strings", ["", "one", "\u4e8c"])
    w.add_array("test.ints", [-1, 0, 65536])
    w.add_array("test.floats", [0.5, -2.25])

    expected = {}

    def add(name, data, kind, shape=None):
        w.add_tensor(name, data, raw_shape=shape, raw_dtype=kind)
        if kind != Type.IQ4_NL:
            expected[name] = torch.from_numpy(gguf.quants.dequantize(data, kind).astype(np.float32).copy())

    bits = halves()
    good = bits[(bits & 0x7c00) != 0x7c00]
    good = np.concatenate([good, np.uint16([0x7c00, 0xfc00])])
    good = good[:len(good) // 4 * 4].reshape(4, -1)
    brain = bits[((bits & 0x7f80) != 0x7f80)]
    brain = brain[:len(brain) // 4 * 4].reshape(4, -1)
    add("f32", rng.standard_normal((3, 5)).astype(np.float32), Type.F32)
    add("f16", good.view(np.float16), Type.F16)
    expected["bf16"] = torch.from_numpy((brain.astype(np.uint32) << 16).view(np.float32).copy())
    w.add_tensor("bf16", brain.view(np.uint8), raw_dtype=Type.BF16)
    add("q8_0", blocks(rng, Type.Q8_0, 3, 96), Type.Q8_0)
    add("q4_1", blocks(rng, Type.Q4_1, 5, 64), Type.Q4_1)
    for kind in (Type.Q4_0, Type.Q5_0, Type.Q5_1):
        add(kind.name.lower(), blocks(rng, kind, 3, 64), kind)
    for kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        add(kind.name.lower(), blocks(rng, kind, 3, 512), kind)
    add("iq4_nl", blocks(rng, Type.IQ4_NL, 2, 32), Type.IQ4_NL)  # a type we name but do not convert
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    save_file(expected, f"{out}/gguf_types.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
