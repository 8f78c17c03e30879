"""A random two-layer Llama with per-sequence LoRA: logits, loss and adapter gradients in float64.

    python3 make_llm_tiny.py OUT_DIR        (writes OUT_DIR/llama_tiny/ and OUT_DIR/llm_tiny.safetensors)

The parameters and adapters are float32 numbers, the arithmetic (twin.llama) is float64 throughout: rotary angles, norms and
softmax too, which transformers does in float32. transformers in float32 is run beside it as a check, without adapters and
with them merged into the weights. Made with torch 2.15.0, transformers 5.23.0, safetensors 0.8.0.
"""
import json, math, os, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from store import save_file
from twin import llama, response_loss

torch.set_num_threads(1)
g = torch.Generator().manual_seed(11)
normal = lambda *shape, std=1.0, mean=0.0: torch.randn(shape, generator=g) * std + mean
cfg = LlamaConfig(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
                  head_dim=16, rms_norm_eps=1e-5, max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2)
cfg.rope_parameters = {"rope_type": "default", "rope_theta": 100000.0}
model = LlamaForCausalLM(cfg).float().eval()
weights = {k: normal(*p.shape, std=0.3, mean=1.0) if "norm" in k else normal(*p.shape, std=0.5 if "embed" in k else 1.2 / math.sqrt(p.shape[1]))
           for k, p in sorted(model.named_parameters())}
model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
where = os.path.join(sys.argv[1], "llama_tiny")
os.makedirs(where, exist_ok=True)
config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 100000.0, "torch_dtype": "float32", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False} | {
    k: getattr(cfg, k) for k in ("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim rms_norm_eps "
                                 "max_position_embeddings tie_word_embeddings bos_token_id eos_token_id pad_token_id").split()}
with open(os.path.join(where, "config.json"), "w", newline="\n") as f:
    f.write(json.dumps(config, indent=2) + "\n")
save_file(weights, os.path.join(where, "model.safetensors"), metadata={"format": "pt"})

rank, scale, smoothing, cu, responses = 4, 16 / math.sqrt(8), 0.1, [0, 5, 14, 21], [2, 4, 3]
ids = torch.randint(0, cfg.vocab_size, (cu[-1],), generator=g)
labels = torch.full_like(ids, -100)
for end, n in zip(cu[1:], responses):                  # the last n tokens are the response: row t predicts ids[t+1]
    labels[end - n - 1:end - 1] = ids[end - n:end]
seqs = list(zip(cu, cu[1:]))
modules = [n[:-len(".weight")].split(".")[-1] for n in weights if n.startswith("model.layers.0.") and "_proj" in n]
dims = {m: next(w.shape for n, w in weights.items() if m in n) for m in modules}            # (out, in)
lora = {(s, l, m): (normal(rank, dims[m][1], std=0.3), normal(dims[m][0], rank, std=0.08))
        for s in range(len(seqs)) for l in range(cfg.num_hidden_layers) for m in sorted(modules)}
w64 = {k: v.double() for k, v in weights.items()}
name = lambda s, l, m, f: f"lora.{s}.{l}.{m}.{f}"
out = {"input.ids": ids, "input.cu_seqlens": torch.tensor(cu), "input.labels": labels, "input.scale": torch.tensor([scale], dtype=torch.float64)}
out |= {name(*k, f): x for k, ab in lora.items() for f, x in zip("AB", ab)}

def check(what, got, merged, s):
    """The same sequence by transformers in float32."""
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for (t, l, m), (A, B) in merged.items():
        if t == s:
            key = next(k for k in state if k.startswith(f"model.layers.{l}.") and m in k)
            state[key] += (scale * B.double() @ A.double()).float()
    clone = LlamaForCausalLM(cfg).float().eval()
    clone.load_state_dict(state)
    with torch.no_grad():
        error = (clone(ids[slice(*seqs[s])][None]).logits[0].double() - got).abs().max().item()
    print(f"{what} sequence {s}: largest difference from transformers float32 {error:.1e}, logits up to {got.abs().max():.1f}")
    assert error < 2e-4

for prefix, chosen in (("", modules), ("qv.", ["q_proj", "v_proj"]), ("base.", [])):
    p = {k: tuple(x.double().requires_grad_() for x in ab) for k, ab in lora.items() if k[2] in chosen}
    logits = [llama(w64, cfg, ids[b:e], {(l, m): ab for (t, l, m), ab in p.items() if t == s}, scale) for s, (b, e) in enumerate(seqs)]
    losses = torch.stack([response_loss(x, labels[b:e], smoothing) for x, (b, e) in zip(logits, seqs)])
    out |= {prefix + "logits": torch.cat(logits).detach(), prefix + "loss": losses.mean().detach().reshape(1), prefix + "losses": losses.detach()}
    for s, x in enumerate(logits):
        check(prefix or "all seven", x.detach(), p, s)
    if p:
        losses.mean().backward()
        out |= {prefix + "grad." + name(*k, f): x.grad for k, ab in p.items() for f, x in zip("AB", ab)}
save_file(out, os.path.join(sys.argv[1], "llm_tiny.safetensors"),
          metadata={"rank": str(rank), "scale": repr(scale), "label_smoothing": str(smoothing), "modules": ",".join(sorted(modules))})
