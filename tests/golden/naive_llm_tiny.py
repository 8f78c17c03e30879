"""How far PyTorch in float32 is from llm_tiny.safetensors: the errors that tests/model/test_llm.c allows twice of.

    python3 naive_llm_tiny.py DIR        (DIR holds llama_tiny/ and llm_tiny.safetensors)

One float32 run is one sample of rounding. The hidden and the feed-forward units are shuffled 40 times, which changes nothing
but the order of the sums; printed are the median and the largest max|a-b|/max|b| of a tensor, over the tensors of a module.
"""
import json, os, sys
from collections import defaultdict
from types import SimpleNamespace
import torch
from safetensors.torch import load_file
from twin import llama, response_loss

torch.set_num_threads(1)
g = load_file(os.path.join(sys.argv[1], "llm_tiny.safetensors"))
w = load_file(os.path.join(sys.argv[1], "llama_tiny", "model.safetensors"))
c = json.load(open(os.path.join(sys.argv[1], "llama_tiny", "config.json")))
cfg = SimpleNamespace(**c, rope_parameters={"rope_theta": c["rope_theta"]})
cu, ids, labels, scale = g["input.cu_seqlens"].tolist(), g["input.ids"], g["input.labels"], g["input.scale"].item()
seqs = list(zip(cu, cu[1:]))
reads = {m: "hidden" for m in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "embed_tokens")} | {"down_proj": "ffn"}
writes = {"o_proj": "hidden", "down_proj": "hidden", "gate_proj": "ffn", "up_proj": "ffn"}
error = lambda a, b: ((a.double() - b).abs().max() / b.abs().max()).item()

def shuffled(x, rows, columns, order):
    x = x[order[rows]] if rows in order else x
    return (x[:, order[columns]] if columns in order else x).contiguous()

errors = defaultdict(list)
for trial in range(40):
    gen = torch.Generator().manual_seed(trial)
    order = {"hidden": torch.randperm(c["hidden_size"], generator=gen), "ffn": torch.randperm(c["intermediate_size"], generator=gen)}
    back = {k: v.argsort() for k, v in order.items()}
    module = lambda name: name.split(".")[-2]
    p = {k: shuffled(v, "hidden" if "norm" in k else writes.get(module(k)), reads.get(module(k)), order) for k, v in w.items()}
    for prefix, chosen in (("", sorted({k.split(".")[3] for k in g if k.startswith("lora.")})), ("qv.", ["q_proj", "v_proj"])):
        ab = {(s, l, m): (shuffled(g[f"lora.{s}.{l}.{m}.A"], None, reads.get(m), order).clone().requires_grad_(),
                          shuffled(g[f"lora.{s}.{l}.{m}.B"], writes.get(m), None, order).clone().requires_grad_())
              for s in range(len(seqs)) for l in range(c["num_hidden_layers"]) for m in chosen}
        logits = [llama(p, cfg, ids[b:e], {(l, m): x for (t, l, m), x in ab.items() if t == s}, scale) for s, (b, e) in enumerate(seqs)]
        losses = torch.stack([response_loss(x, labels[b:e], 0.1) for x, (b, e) in zip(logits, seqs)])
        losses.mean().backward()
        errors[prefix + "losses"].append(((losses.double() - g[prefix + "losses"]) / g[prefix + "losses"]).abs().max().item())
        errors[prefix + "logits"].append(error(torch.cat(logits).detach(), g[prefix + "logits"]))
        worst = defaultdict(float)
        for (s, l, m), (A, B) in ab.items():
            for f, x in ("A", shuffled(A.grad, None, reads.get(m), back)), ("B", shuffled(B.grad, writes.get(m), None, back)):
                worst[m] = max(worst[m], error(x, g[f"{prefix}grad.lora.{s}.{l}.{m}.{f}"]))
        for m, x in worst.items():
            errors[f"{prefix}grad {m}"].append(x)
for k, v in errors.items():
    print(f"{k:16} median {sorted(v)[len(v) // 2]:.1e}  largest {max(v):.1e}")
