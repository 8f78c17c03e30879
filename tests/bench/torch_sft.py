"""The SFT step of Text-to-LoRA written plainly in PyTorch, with random weights on the shapes of Mistral-7B, as the time to beat.

    python3 torch_sft.py [--json FILE] [--tokens 2048] [--steps 5] [--tiny]

The method is the published one (8 tasks, one example each, hypernetwork of size M, rank 8 on q_proj and v_proj, label smoothing,
NEFTune, AdamW, clip 1). So is the way of going about it: examples padded to the longest; every token has its own copy of A and
B, multiplied one token at a time; the frozen model carries a LoRA of its own whose B is zero; all hidden states are kept and
turned to f32; logits of every position in f32, the loss over all of them; four numbers read back a step. Attention is
scaled_dot_product_attention with a mask. --tokens counts real tokens; where they do not fit the memory, half of them are taken,
and so on. --tiny: small shapes, on a CPU too, to see that it runs.
"""
import argparse, json, math, time
import torch
from torch import nn
from torch.nn import functional as F

ap = argparse.ArgumentParser()
ap.add_argument("--json")
ap.add_argument("--tokens", type=int, default=2048)
ap.add_argument("--steps", type=int, default=5)
ap.add_argument("--tiny", action="store_true")
a = ap.parse_args()
dev = "cuda" if torch.cuda.is_available() else "cpu"
C, HEADS, GROUPS, D, FFN, V, LAYERS = (64, 4, 2, 16, 96, 128, 2) if a.tiny else (4096, 32, 8, 128, 14336, 32000, 32)
TASKS, R, SCALE, E, H, HEAD_IN, DROP = 8, 8, 16 / math.sqrt(8), 1024, 128, 512, 0.05
DIMS = {"q": (C, HEADS * D), "v": (C, GROUPS * D)}  # in, out


def frozen(*shape):
    return nn.Parameter(torch.empty(*shape, device=dev, dtype=torch.bfloat16).normal_(0, 0.02), requires_grad=False)


class ZeroLora(nn.Module):
    """A frozen projection with a LoRA whose B is zero, applied all the same."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.w, self.a = frozen(n_out, n_in), frozen(R, n_in)
        self.b = nn.Parameter(torch.zeros(n_out, R, device=dev, dtype=torch.bfloat16), requires_grad=False)

    def forward(self, x):
        return F.linear(x, self.w) + SCALE * F.linear(F.linear(F.dropout(x, DROP), self.a), self.b)


def generated(x, A, B):
    """x [tasks, length, in] with one adapter a task: A, B copied for each token."""
    length = x.shape[1]
    xf = F.dropout(x, DROP).to(A.dtype).reshape(-1, x.shape[2], 1)
    At, Bt = A.repeat_interleave(length, 0), B.repeat_interleave(length, 0)
    return (SCALE * torch.bmm(Bt, torch.bmm(At, xf))).reshape(x.shape[0], length, -1)


def rms(x, w):
    f = x.float()
    return w * (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.v = ZeroLora(*DIMS["q"]), ZeroLora(*DIMS["v"])
        self.k, self.o = frozen(GROUPS * D, C), frozen(C, HEADS * D)
        self.gate, self.up, self.down = frozen(FFN, C), frozen(FFN, C), frozen(C, FFN)
        self.n1, self.n2 = frozen(C), frozen(C)

    def forward(self, x, lora, mask, cos, sin):
        n, t, _ = x.shape
        h = rms(x, self.n1)
        q, v = (p(h) + generated(h, *lora[m]).to(h.dtype) for p, m in ((self.q, "q"), (self.v, "v")))
        q, k, v = (y.view(n, t, -1, D).transpose(1, 2) for y in (q, F.linear(h, self.k), v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (y.repeat_interleave(HEADS // GROUPS, 1) for y in (k, v))
        x = x + F.linear(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(n, t, -1), self.o)
        h = rms(x, self.n2)
        return x + F.linear(F.silu(F.linear(h, self.gate)) * F.linear(h, self.up), self.down)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head, self.norm = frozen(V, C), frozen(V, C), frozen(C)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids, pad, lora):
        x = F.embedding(ids, self.embed)
        x = x + torch.empty_like(x).uniform_(-1, 1) * (5 / math.sqrt(ids.shape[1] * C))
        t = ids.shape[1]
        angle = torch.arange(t, device=dev)[:, None] / 1e6 ** (torch.arange(0, D, 2, device=dev) / D)
        cos, sin = (y.repeat(1, 2).to(x.dtype) for y in (angle.cos(), angle.sin()))
        mask = torch.ones(t, t, dtype=torch.bool, device=dev).tril() & pad[:, None, None, :]
        hidden = [x]
        for i, layer in enumerate(self.layers):
            x = layer(x, {m: (A[:, i], B[:, i]) for m, (A, B) in lora.items()}, mask, cos, sin)
            hidden.append(x)
        return F.linear(rms(x, self.norm), self.head).float(), [y.float() for y in hidden]


def mlp(first, last=H, drop=DROP):
    return nn.Sequential(first, nn.Linear(H, 4 * H), nn.SiLU(), nn.Dropout(DROP), nn.Linear(4 * H, last), nn.SiLU(), nn.Dropout(drop))


class Hypernet(nn.Module):
    """Size M: for each of A and B one vector of R * max(in, out) numbers, cut to size."""

    def __init__(self):
        super().__init__()
        self.task = nn.Sequential(nn.Linear(E, H // 2), nn.LayerNorm(H // 2))
        self.depth = nn.Sequential(nn.Embedding(LAYERS, H // 4), nn.LayerNorm(H // 4))
        self.kind = nn.Sequential(nn.Embedding(len(DIMS), H // 4), nn.LayerNorm(H // 4))
        self.mixer, self.mlp1, self.mlp2 = mlp(nn.Dropout(DROP)), mlp(nn.LayerNorm(H)), mlp(nn.LayerNorm(H))
        self.mlp3 = mlp(nn.LayerNorm(H), HEAD_IN, 0)
        self.side = nn.Parameter(torch.randn(len(DIMS), 2, H))
        self.side_norm = nn.LayerNorm(H)
        self.heads = nn.ModuleDict({m: nn.Linear(HEAD_IN, R * max(d)) for m, d in DIMS.items()})
        self.offset = nn.ParameterDict({m: nn.Parameter(torch.zeros(R, d[0]), requires_grad=False) for m, d in DIMS.items()})

    def forward(self, e):
        lora = {}
        for k, (m, (n_in, n_out)) in enumerate(DIMS.items()):
            task = self.task(e)[:, None].expand(-1, LAYERS, -1)
            depth = self.depth(torch.arange(LAYERS, device=dev)).expand(len(e), -1, -1)
            kind = self.kind(torch.tensor(k, device=dev)).expand(len(e), LAYERS, -1)
            u = self.mixer(torch.cat((task, depth, kind), -1).float())
            u = u + self.mlp1(u)
            A, B = (self.part(u, m, k, side).unflatten(-1, (R, -1)) for side in (0, 1))
            lora[m] = A[..., :n_in] + self.offset[m], B[..., :n_out].transpose(2, 3).float()
        return lora

    def part(self, u, m, k, side):
        x = u + self.side_norm(self.side[k, side])
        x = x + self.mlp2(x)
        return self.heads[m](self.mlp3(x))


def batch(tokens, seed):
    """Lengths log-normal with sigma 0.6 that add up to about `tokens`; the last third of an example is its answer."""
    g = torch.Generator().manual_seed(seed)
    length = torch.exp(0.6 * torch.randn(TASKS, generator=g))
    length = (length * tokens / length.sum()).round().clamp(min=4).long()
    t = (int(length.max()) + 7) // 8 * 8
    at = torch.arange(t)
    ids = torch.randint(V, (TASKS, t), generator=g)
    pad = at < length[:, None]
    labels = torch.where(pad & (at >= length[:, None] * 2 // 3), ids, -100)
    return ids.to(dev), pad.to(dev), labels.to(dev), torch.randn(TASKS, E, generator=g).to(dev), int(length.sum())


def step(model, net, opt, data):
    ids, pad, labels, e, _ = data
    with torch.autocast(dev, torch.bfloat16):
        lora = net(e)
        logits, hidden = model(ids, pad, lora)
        shifted, target = logits[:, :-1].contiguous(), labels[:, 1:].contiguous()
        each = F.cross_entropy(shifted.view(-1, V), target.view(-1), reduction="none", label_smoothing=0.1).view(target.shape)
        loss = (each.sum(1) / (target >= 0).sum(1)).mean()
        penalty = 1e-3 * sum(A.float().pow(2).mean() + B.float().pow(2).mean() for A, B in lora.values())
    opt.zero_grad()
    (loss + penalty).backward()
    norm = nn.utils.clip_grad_norm_(list(net.parameters()) + list(model.parameters()), 1.0)
    opt.step()
    return loss.item(), penalty.item(), norm.item(), (target >= 0).sum().item()


def sync():
    if dev == "cuda":
        torch.cuda.synchronize()


model, net = Model().train(), Hypernet().to(dev).train()
opt = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=2.5e-5, weight_decay=1e-2)
tokens, tried = a.tokens, []
while True:
    try:
        data = batch(tokens, 1)
        for _ in range(2):
            step(model, net, opt, data)
        times = []
        for _ in range(a.steps):
            sync()
            start = time.perf_counter()
            loss = step(model, net, opt, data)[0]
            sync()
            times.append(time.perf_counter() - start)
        break
    except torch.cuda.OutOfMemoryError:
        tried.append(tokens)
        tokens //= 2
        opt.zero_grad()
        data = None
    torch.cuda.empty_cache()
    if tokens < 64:
        raise SystemExit("out of memory with 64 tokens")
assert math.isfinite(loss)
median, real, padded = sorted(times)[len(times) // 2], data[4], data[0].numel()
result = {"bench": "torch_sft", "device": torch.cuda.get_device_name() if dev == "cuda" else "cpu", "torch": torch.__version__,
          "tiny": a.tiny, "real_tokens": real, "padded_tokens": padded, "did_not_fit": tried, "hypernet_parameters":
          sum(p.numel() for p in net.parameters() if p.requires_grad), "s_min": round(min(times), 4), "s_median": round(median, 4),
          "real_tokens_per_s": round(real / median, 1), "loss": round(loss, 4)}
if dev == "cuda":
    result["peak_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
print(json.dumps(result))
if a.json:
    with open(a.json, "w") as f:
        f.write(json.dumps(result) + "\n")
