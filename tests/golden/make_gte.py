"""A tiny random text encoder of gte-large-en-v1.5's architecture ("new"): embeddings of short texts.

    python3 make_gte.py OUT_DIR          (writes OUT_DIR/gte_tiny/ and OUT_DIR/gte_tiny.safetensors)

The model's own code is remote code of its repository and is not used here: `encode` is an independent plain PyTorch of the published
architecture (word and type embeddings, LayerNorm; post-norm layers with packed q|k|v, rotary positions with NTK scaling, exact GELU on
the second half of up_gate_proj times the first; the first token's vector, scaled to length sqrt(E)), in float64. Its rotary frequencies
are checked against three published values of the real model. The tokenizer is WordPiece over the alphabet. Made with torch 2.15.0.
"""
import json, math, os, string, sys
import torch
import torch.nn.functional as F
from store import save_file

torch.set_num_threads(1)
g = torch.Generator().manual_seed(77)
normal = lambda *shape, std=1.0, mean=0.0: torch.randn(shape, generator=g) * std + mean
C, H, FF, L = 36, 3, 44, 3
pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *string.ascii_lowercase, *("##" + c for c in string.ascii_lowercase)]
cfg = {"architectures": ["NewModel"], "model_type": "new", "hidden_size": C, "num_hidden_layers": L, "num_attention_heads": H, "intermediate_size": FF, "vocab_size": 64,
       "type_vocab_size": 2, "max_position_embeddings": 64, "layer_norm_eps": 1e-12, "layer_norm_type": "layer_norm", "hidden_act": "gelu", "position_embedding_type": "rope",
       "rope_theta": 160000, "rope_scaling": {"type": "ntk", "factor": 2.0}, "pack_qkv": True, "logn_attention_scale": False, "pad_token_id": 0}


def inv_freq(theta, factor, d):
    i = torch.arange(d // 2, dtype=torch.float64)
    return (theta * factor) ** (-2 * i / d) / factor ** (2 / d)


real = inv_freq(160000.0, 2.0, 64)
for i, x in (0, 0.978572062), (1, 0.658501663), (31, 4.54442323e-06):
    assert abs(real[i].item() / x - 1) < 1e-8
w = {"embeddings.word_embeddings.weight": normal(64, C), "embeddings.token_type_embeddings.weight": normal(2, C, std=0.5)}
norms = ["embeddings.LayerNorm"]
for l in range(L):
    n = f"encoder.layer.{l}."
    for m, (o, i), bias in (("attention.qkv_proj", (3 * C, C), 1), ("attention.o_proj", (C, C), 1), ("mlp.up_gate_proj", (2 * FF, C), 0), ("mlp.down_proj", (C, FF), 1)):
        w[f"{n}{m}.weight"] = normal(o, i, std=1.5 / math.sqrt(i))
        if bias:
            w[f"{n}{m}.bias"] = normal(o, std=0.3)
    norms += [n + "attn_ln", n + "mlp_ln"]
for n in norms:
    w |= {n + ".weight": normal(C, std=0.2, mean=1.0), n + ".bias": normal(C, std=0.2)}
p = {k: v.double() for k, v in w.items()}


def encode(ids):
    d, T = C // H, len(ids)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * inv_freq(160000.0, 2.0, d)
    cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
    turn = lambda x: x * cos + torch.cat([-x[..., d // 2:], x[..., :d // 2]], -1) * sin
    norm = lambda x, n: F.layer_norm(x, (C,), p[n + ".weight"], p[n + ".bias"], 1e-12)
    linear = lambda x, n: F.linear(x, p[n + ".weight"], p.get(n + ".bias"))
    x = norm(p["embeddings.word_embeddings.weight"][ids] + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for l in range(L):
        n = f"encoder.layer.{l}."
        q, k, v = (t.view(T, H, d).transpose(0, 1) for t in linear(x, n + "attention.qkv_proj").split(C, -1))
        att = (turn(q) @ turn(k).transpose(1, 2) / math.sqrt(d)).softmax(-1) @ v
        x = norm(x + linear(att.transpose(0, 1).reshape(T, C), n + "attention.o_proj"), n + "attn_ln")
        up, gate = linear(x, n + "mlp.up_gate_proj").split(FF, -1)
        x = norm(x + linear(F.gelu(gate) * up, n + "mlp.down_proj"), n + "mlp_ln")
    return x[0] / x[0].norm() * math.sqrt(C)


def tokens(text):
    ids = [2]
    for word in text.lower().replace(".", " . ").replace(",", " , ").split():
        ids += [pieces.index(c if i == 0 else "##" + c) for i, c in enumerate(word)]
    return torch.tensor(ids[:63] + [3])


texts = ["Sort the words", "Answer with the last word of the list, in reverse order.", "a", "x.", "The quick brown fox jumps over the lazy dog, and " * 3]
out_dir = os.path.join(sys.argv[1], "gte_tiny")
os.makedirs(out_dir, exist_ok=True)
for name, x in ("config.json", cfg), ("tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, c in enumerate(pieces[:5])],
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {c: i for i, c in enumerate(pieces)}}}):
    with open(os.path.join(out_dir, name), "w", newline="\n") as f:
        f.write(json.dumps(x, indent=1 if name == "config.json" else None) + "\n")
save_file(w, os.path.join(out_dir, "model.safetensors"), metadata={"format": "pt"})
full_stop = lambda t: t.strip() + ("." if t.strip()[-1].isalpha() else "")
save_file({"embeddings": torch.stack([encode(tokens(full_stop(t))) for t in texts])}, os.path.join(sys.argv[1], "gte_tiny.safetensors"),
          metadata={f"text.{i}": t for i, t in enumerate(texts)})
