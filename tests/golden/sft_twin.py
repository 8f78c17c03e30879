"""A PyTorch twin of the T2L SFT step (method.md section 6): losses to compare with a C run, and its speed.

    python3 sft_twin.py --llm HF_DIR --dump DIR [--example] [--dtype f32|bf16] [--device cpu|cuda] [--padded] [--bench]

DIR, dumped by the C run (--example writes one with random contents instead):
  init.safetensors        hypernetwork parameters, named as in hypernet_M.safetensors (with or without "param.")
  embeddings.safetensors  one tensor [n,E]
  batches.json            a list of steps: {"cu_seqlens": [B+1], "ids": [N], "labels": [N], "embedding_index": [B]};
                          labels are shifted already: row t predicts labels[t], -100 where none
Writes DIR/losses.json: {"loss", "reg", "grad_norm", "lr"}, one number a step (loss without reg; norm before the clip).
No dropout, no NEFTune. Each sequence goes through the LLM alone; --padded: one right-padded batch, as most frameworks do.
--bench also prints {"tokens_per_s", "padded_tokens_per_s", "steps"}: the first step is not timed, padding is not a token.
Tried with torch 2.15.0, transformers 5.23.0, safetensors 0.8.0.
"""
import argparse, json, math, os, random, time
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup
from twin import hypernet

ap = argparse.ArgumentParser()
for flag, default in (("llm", None), ("dump", None), ("dtype", "f32"), ("device", "cpu"), ("size", "M"), ("modules", "q_proj,v_proj")):
    ap.add_argument("--" + flag, default=default, required=default is None)
for flag, default in (("threads", 2), ("rank", 8), ("alpha", 16), ("lr", 1e-3), ("weight-decay", 1e-2), ("smoothing", 0.1), ("reg", 1e-3), ("warmup", 0.2), ("steps", 0)):
    ap.add_argument("--" + flag, type=type(default), default=default)
for flag in ("padded", "bench", "example"):
    ap.add_argument("--" + flag, action="store_true")
a = ap.parse_args()
torch.set_num_threads(a.threads)
path = lambda name: os.path.join(a.dump, name)
model = AutoModelForCausalLM.from_pretrained(a.llm, dtype={"f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]).to(a.device).eval().requires_grad_(False)
layers, modules, scale = model.config.num_hidden_layers, a.modules.split(","), a.alpha / math.sqrt(a.rank)
adapters, shapes = {}, {}                                # module -> (A [T,L,r,in], B [T,L,out,r]) of the running group


class Adapted(torch.nn.Module):
    def __init__(self, base, layer, module):
        super().__init__()
        self.base, self.layer, self.module = base, layer, module

    def forward(self, x):
        A, B = (t[:, self.layer].to(x.dtype).transpose(1, 2) for t in adapters[self.module])
        return self.base(x) + scale * torch.bmm(torch.bmm(x, A), B)


for l, layer in enumerate(model.model.layers):
    for m in modules:
        owner = layer.self_attn if hasattr(layer.self_attn, m) else layer.mlp
        shapes[m] = (getattr(owner, m).in_features, getattr(owner, m).out_features)
        setattr(owner, m, Adapted(getattr(owner, m), l, m))


def example(D=128, H=512, E=384, n=16, steps=20, batch=8):
    """Writes a dump of random texts and a standard SFT start (size M only)."""
    g, rng = torch.Generator().manual_seed(1), random.Random(1)
    normal = lambda *s: torch.randn(s, generator=g)
    uniform = lambda bound, *s: (torch.rand(s, generator=g) * 2 - 1) * bound
    p = {"layer_depth_encoder.0.weight": normal(layers, D // 4), "layer_type_encoder.0.weight": normal(len(modules), D // 4)}
    for name, i, o in (("task_encoder.mlp.0", E, D // 2), *((f"{x}.{k}", *((D, 4 * D) if k == 1 else (4 * D, H if x == "mlp3" else D)))
                       for x in ("mixer", "mlp1.mlp", "mlp2.mlp", "mlp3") for k in (1, 4))):
        p |= {name + ".weight": uniform(i ** -0.5, o, i), name + ".bias": uniform(i ** -0.5, o)}
    for name, i in (("task_encoder.mlp.1", D // 2), ("layer_depth_encoder.1", D // 4), ("layer_type_encoder.1", D // 4), ("mlp1.mlp.0", D), ("mlp2.mlp.0", D), ("mlp3.0", D), ("out_emb_norm", D)):
        p |= {name + ".weight": torch.ones(i), name + ".bias": torch.zeros(i)}
    for m, (i, o) in shapes.items():
        bias = F.pad(uniform(i ** -0.5, a.rank, i) / math.sqrt(2), (0, max(i, o) - i)).flatten()
        p |= {f"out_emb.{m}.A": normal(D), f"out_emb.{m}.B": normal(D), f"heads.{m}.weight": torch.zeros(len(bias), H), f"heads.{m}.bias": bias}
    save_file({"param." + k: v for k, v in p.items()}, path("init.safetensors"))
    save_file({"embeddings": F.normalize(normal(n, E), dim=-1) * E ** 0.5}, path("embeddings.safetensors"))
    batches = []
    for _ in range(steps):
        b = {"cu_seqlens": [0], "ids": [], "labels": [], "embedding_index": [rng.randrange(n) for _ in range(batch)]}
        for _ in range(batch):
            ids, k = [rng.randrange(model.config.vocab_size) for _ in range(rng.randint(16, 64))], rng.randint(1, 8)
            b["ids"] += ids
            b["labels"] += [-100] * (len(ids) - k - 1) + ids[-k:] + [-100]
            b["cu_seqlens"].append(len(b["ids"]))
        batches.append(b)
    with open(path("batches.json"), "w") as f:
        json.dump(batches, f)


def group_loss(seqs, generated, index):
    """Sum over the group's sequences [(ids, labels)] of each one's mean loss over its response rows; their adapters are rows `index`."""
    adapters.update((m, (A[index], B[index])) for m, (A, B) in generated.items())
    pad = lambda k, v: torch.nn.utils.rnn.pad_sequence([s[k] for s in seqs], batch_first=True, padding_value=v)
    labels = pad(1, -100)
    rows = labels != -100                                 # causal and padded on the right: no mask is needed
    logits = model.lm_head(model.model(input_ids=pad(0, 0), use_cache=False).last_hidden_state[rows]).float()
    each = F.cross_entropy(logits, labels[rows], reduction="none", label_smoothing=a.smoothing)
    return (each / rows.sum(1, keepdim=True).expand_as(labels)[rows]).sum(), labels.numel()


if a.example:
    os.makedirs(a.dump, exist_ok=True)
    example()
params = {k.removeprefix("param."): v.float().to(a.device).requires_grad_() for k, v in load_file(path("init.safetensors")).items()}
embeddings, = load_file(path("embeddings.safetensors")).values()
with open(path("batches.json")) as f:
    batches = json.load(f)
optimizer = torch.optim.AdamW(params.values(), lr=a.lr, weight_decay=a.weight_decay, betas=(0.9, 0.999), eps=1e-8)
schedule = get_linear_schedule_with_warmup(optimizer, int(a.warmup * len(batches)), len(batches))
log, real, padded, start = {"loss": [], "reg": [], "grad_norm": [], "lr": []}, 0, 0, time.perf_counter()
for step, b in enumerate(batches[:a.steps or None]):
    ids, labels = (torch.tensor(b[k], device=a.device) for k in ("ids", "labels"))
    seqs = [(ids[i:j], labels[i:j]) for i, j in zip(b["cu_seqlens"], b["cu_seqlens"][1:])]
    generated = hypernet(params, embeddings[b["embedding_index"]].float().to(a.device), a.size, shapes, layers, a.rank)
    every = list(range(len(seqs)))
    parts = [group_loss([seqs[i] for i in group], generated, group) for group in ([every] if a.padded else [[i] for i in every])]
    loss = sum(p for p, _ in parts) / len(seqs)
    reg = a.reg * sum(A.square().mean() + B.square().mean() for A, B in generated.values())
    optimizer.zero_grad()
    (loss + reg).backward()
    norm = torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
    lr = schedule.get_last_lr()[0]
    optimizer.step()
    schedule.step()
    for k, v in zip(log, (loss.item(), reg.item(), norm.item(), lr)):
        log[k].append(v)
    print(f"step {step} loss {log['loss'][-1]:.6f} reg {log['reg'][-1]:.3e} norm {log['grad_norm'][-1]:.5f} lr {lr:.3e}", flush=True)
    if step == 0:
        start = time.perf_counter()
    else:
        real, padded = real + len(ids), padded + sum(n for _, n in parts)
seconds = time.perf_counter() - start
with open(path("losses.json"), "w") as f:
    f.write(json.dumps(log) + "\n")
if a.bench:
    print(json.dumps({"tokens_per_s": real / seconds, "padded_tokens_per_s": padded / seconds, "steps": step, "dtype": a.dtype, "device": a.device, "threads": a.threads, "padded": a.padded}))
