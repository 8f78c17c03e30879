"""The task encoders onehot, vq and softmax in PyTorch, float64, in front of twin.hypernet (size M, no dropout).

    python3 make_task_encoders.py OUT_DIR

Written from the semantics of the authors' classes (SakanaAI/text-to-lora, hyper_modulator.py) with torch.distributions, a
codebook of buffers and autograd for the straight-through gradients; torch 2.15.0. Parameters are not stored: number k of a
tensor is a function of its name and k that the test repeats (`number`), and so are inputs and cotangents. The class that
onehot draws in training follows from t2l's random numbers (Philox4x32-10), which `draw` repeats.
"""
import math, os, sys
import numpy as np
import torch
import torch.nn.functional as F
from store import save_file
from twin import hypernet

torch.set_num_threads(1)
T, L, R, E, D, H, CLASSES, CODES, STEPS, SEED = 5, 2, 2, 6, 16, 6, 64, 32, 4, 9
SHAPES = {"q_proj": (7, 7), "v_proj": (7, 4)}
M64 = (1 << 64) - 1


def philox(seed, stream, index):
    c, k = [index & 0xFFFFFFFF, index >> 32, stream & 0xFFFFFFFF, stream >> 32], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def unit(seed, stream, index):
    return (philox(seed, stream, index >> 2)[index & 3] >> 8) / 2**24


def number(name, shape):
    """Uniform in [-1,1) / 2, exact in float32; a norm's weight: 1 more."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    x = np.array([unit(7, h, k) for k in range(math.prod(shape))], dtype=np.float32) - np.float32(0.5)
    if len(shape) == 1 and name.endswith(".weight"):
        x = x + np.float32(1)
    return torch.from_numpy(x.astype(np.float64)).reshape(shape)


def shapes_of(encoder):
    C = CLASSES if encoder == "onehot" else D // 2
    W = C + L + len(SHAPES) if encoder == "onehot" else D
    Z = CODES if encoder == "softmax" else C
    s = {"task_encoder.mlp.0.weight": (4 * C, E), "task_encoder.mlp.0.bias": (4 * C,),
         "task_encoder.mlp.3.weight": (Z, 4 * C), "task_encoder.mlp.3.bias": (Z,)}
    if encoder == "softmax":
        s["task_encoder.embed"] = (CODES, C)
    if encoder != "onehot":
        s |= {"task_encoder.ln.weight": (C,), "task_encoder.ln.bias": (C,)}
        for n, k in (("layer_depth_encoder", L), ("layer_type_encoder", len(SHAPES))):
            s |= {n + ".0.weight": (k, D // 4), n + ".1.weight": (D // 4,), n + ".1.bias": (D // 4,)}
    for n, norm, a, b, out in (("mixer", None, 1, 4, W), ("mlp1.mlp", 0, 1, 4, W), ("mlp2.mlp", 0, 1, 4, W), ("mlp3", 0, 1, 4, H)):
        if norm is not None:
            s |= {f"{n}.{norm}.weight": (W,), f"{n}.{norm}.bias": (W,)}
        s |= {f"{n}.{a}.weight": (4 * W, W), f"{n}.{a}.bias": (4 * W,), f"{n}.{b}.weight": (out, 4 * W), f"{n}.{b}.bias": (out,)}
    for m in SHAPES:
        s |= {f"out_emb.{m}.A": (W,), f"out_emb.{m}.B": (W,)}
    s |= {"out_emb_norm.weight": (W,), "out_emb_norm.bias": (W,)}
    for m, io in SHAPES.items():
        s |= {f"heads.{m}.weight": (R * max(io), H), f"heads.{m}.bias": (R * max(io),)}
    return s


def draw(probs, step):
    """t2l's draw: the first class up to which the probabilities exceed the row's uniform number."""
    rows = [torch.nonzero(p.cumsum(0) > unit(SEED, (0x484E << 48) | step << 8 | 21, t))[0, 0] for t, p in enumerate(probs)]
    return F.one_hot(torch.stack(rows), CLASSES).to(probs)


class Encoder:
    def __init__(self, kind, p):
        self.kind, self.p = kind, p
        if kind == "vq":
            self.codes = number("codes", (D // 2, CODES))
            self.counts, self.averages = torch.zeros(CODES, dtype=torch.float64), self.codes.clone()

    def __call__(self, e, step=None):
        """-> task [T,C], commitment loss. step None: inference."""
        p = {k[13:]: v for k, v in self.p.items() if k.startswith("task_encoder.")}
        z = F.linear(F.silu(F.linear(e, p["mlp.0.weight"], p["mlp.0.bias"])), p["mlp.3.weight"], p["mlp.3.bias"])
        norm = lambda x: F.layer_norm(x, x.shape[-1:], p["ln.weight"], p["ln.bias"])
        if self.kind == "softmax":
            return norm(z.softmax(-1) @ p["embed"]), 0
        if self.kind == "onehot":
            probs = torch.distributions.OneHotCategorical(logits=z).probs
            if step is None:
                return F.one_hot(probs.argmax(-1), CLASSES).to(z), 0
            return draw(probs.detach(), step) + (probs - probs.detach()), 0
        self.chosen = torch.cdist(z, self.codes.T).argmin(-1)
        q, one_hot = self.codes.T[self.chosen], F.one_hot(self.chosen, CODES).to(z)
        if step is not None:
            with torch.no_grad():
                self.counts = 0.99 * self.counts + (1 - 0.99) * one_hot.sum(0)
                self.averages = 0.99 * self.averages + (1 - 0.99) * z.T @ one_hot
                n = self.counts.sum()
                self.codes = self.averages / ((self.counts + 1e-5) / (n + CODES * 1e-5) * n)
        return norm(z + (q - z).detach()), 0.01 * (q - z).square().mean()


for kind in ("onehot", "vq", "softmax"):
    p = {k: number(k, s).requires_grad_() for k, s in shapes_of(kind).items()}
    encoder, out = Encoder(kind, p), {}
    inputs = [4 * number(f"embedding.{i}", (T, E)) for i in range(STEPS)]
    show = lambda made, at: out.update({f"{at}.{m}.{f}": x for m, ab in made.items() for f, x in zip("AB", ab)})
    for i, e in enumerate(inputs):  # steps without an update of the parameters: vq's codebook alone moves
        e.requires_grad_()
        task, commitment = encoder(e, i)
        made = hypernet(p, None, "M", SHAPES, L, R, task)
        if kind == "vq":
            out |= {f"commitment.{i}": commitment, f"chosen.{i}": encoder.chosen}
        if i == 0:
            show(made, "train")
            loss = sum((number(f"cotangent.{m}.{f}", x.shape) * x).sum() for m, ab in made.items() for f, x in zip("AB", ab))
            grads = torch.autograd.grad(loss, [e, *p.values()], retain_graph=True)
            names = ["input", *p]
            keep = lambda n: n == "input" or n.startswith(("task_encoder.", "layer_"))
            out |= {f"grad.{n}": g for n, g in zip(names, grads) if keep(n)}
            if kind == "vq":
                own = [n for n in names if n == "input" or n.startswith("task_encoder.mlp")]
                grads = torch.autograd.grad(loss + commitment, [e if n == "input" else p[n] for n in own])
                out |= {f"committed.{n}": g for n, g in zip(own, grads)}
    if kind == "vq":
        out |= {"task_encoder.embed": encoder.codes, "task_encoder.cluster_size": encoder.counts, "task_encoder.embed_avg": encoder.averages}
        print("codes in use:", sorted({int(c) for i in range(STEPS) for c in out[f"chosen.{i}"]}))
    show(hypernet(p, None, "M", SHAPES, L, R, encoder(inputs[0])[0]), "infer")
    file = f"task_encoder_{kind}.safetensors"
    save_file({k: v.detach().to(torch.int64 if k.startswith("chosen") else torch.float32 if kind == "onehot" else torch.float64).reshape(v.shape or (1,)).contiguous()
               for k, v in sorted(out.items())}, os.path.join(sys.argv[1], file), metadata={"encoder": kind})
    print(f"{file}: {len(out)} tensors, {os.path.getsize(os.path.join(sys.argv[1], file))} bytes")
