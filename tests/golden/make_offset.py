"""A hypernetwork on top of an adapter: outputs, and gradients of the offset, the heads and the task encoder.

    python3 make_offset.py OUT_DIR

Writes offset.safetensors; README.md here says what is in it. twin.hypernet without head biases; the offset is added to its A and
B, the same for every task. Inputs are exact in float32; computed in float64, then rounded. Made with torch 2.15.0.
"""
import os, sys
import torch
from store import save_file
from twin import hypernet

SHAPES = {"v_proj": (9, 4), "q_proj": (9, 9), "up_proj": (5, 11)}
T, L, R, E, D, H = 3, 2, 3, 10, 8, 12

torch.set_num_threads(1)
g = torch.Generator().manual_seed(5)
normal = lambda *s: torch.randn(s, generator=g)
file = {}
for kind in "SML":
    p = {"layer_depth_encoder.0.weight": normal(L, D // 4), "layer_type_encoder.0.weight": normal(len(SHAPES), D // 4)}
    for name, i, o in (("task_encoder.mlp.0", E, D // 2), *((f"{x}.{k}", *((D, 4 * D) if k == 1 else (4 * D, H if x == "mlp3" else D)))
                       for x in ("mixer", "mlp1.mlp", "mlp2.mlp", "mlp3") for k in (1, 4))):
        p |= {name + ".weight": normal(o, i) / i ** 0.5, name + ".bias": normal(o) / i ** 0.5}
    norms = {"task_encoder.mlp.1": D // 2, "layer_depth_encoder.1": D // 4, "layer_type_encoder.1": D // 4, "mlp1.mlp.0": D, "mlp2.mlp.0": D, "mlp3.0": D}
    for name, n in (norms | ({} if kind == "L" else {"out_emb_norm": D})).items():
        p |= {name + ".weight": 1 + 0.1 * normal(n), name + ".bias": 0.1 * normal(n)}
    for m, (i, o) in SHAPES.items():
        width = {"L": R * (i + o), "M": R * max(i, o), "S": max(i, o)}[kind]
        p |= {f"heads.{m}.weight": normal(width, H) / H ** 0.5}
        if kind != "L":
            p |= {f"out_emb.{m}.A": normal(D), f"out_emb.{m}.B": normal(D)}
        p |= {f"offset.{m}.A": normal(L, R, i), f"offset.{m}.B": normal(L, o, R)}
    file |= {f"{kind}.param.{k}": v for k, v in p.items()}
    p = {k: v.double().requires_grad_() for k, v in p.items()}
    e = normal(T, E).double().requires_grad_()
    out = {f"{m}.{f}": x + p[f"offset.{m}.{f}"] for m, ab in hypernet(p, e, kind, SHAPES, L, R).items() for f, x in zip("AB", ab)}
    c = {k: normal(*x.shape).double() for k, x in out.items()}
    sum((c[k] * x).sum() for k, x in out.items()).backward()
    file |= {f"{kind}.input.embedding": e} | {f"{kind}.output.{k}": x for k, x in out.items()} | {f"{kind}.cotangent.{k}": x for k, x in c.items()}
    file |= {f"{kind}.grad.{k}": x.grad for k, x in p.items() if k.startswith(("offset.", "heads.", "task_encoder."))}
    for m in SHAPES:  # what the gradient must be: the sum over the tasks
        for f in "AB":
            assert torch.equal(p[f"offset.{m}.{f}"].grad, c[f"{m}.{f}"].sum(0))
save_file({k: v.detach().float().contiguous() for k, v in file.items()}, os.path.join(sys.argv[1], "offset.safetensors"))
