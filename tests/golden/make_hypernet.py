"""Copies the outputs and gradients of the authors' hypernetwork class, after checking them with twin.py.

    python3 make_hypernet.py SOURCE_DIR OUT_DIR

SOURCE_DIR holds hypernet_{L,M,S,S_learned_positions}.safetensors (float64; see README.md here). The written files have the
same tensors and metadata, sorted. Every output and gradient must agree with twin.hypernet to 1e-12 of the largest
number of its tensor. Made with torch 2.15.0, safetensors 0.8.0.
"""
import json, os, sys
import torch
from safetensors import safe_open
from store import save_file
from twin import hypernet

torch.set_num_threads(1)
for name in ("L", "M", "S", "S_learned_positions"):
    file = f"hypernet_{name}.safetensors"
    with safe_open(os.path.join(sys.argv[1], file), "pt") as f:
        meta, t = f.metadata(), {k: f.get_tensor(k) for k in sorted(f.keys())}
    n_in, n_out = json.loads(meta["in_features"]), json.loads(meta["out_features"])
    shapes = {m: (n_in[m], n_out[m]) for m in meta["modules"].split(",")}
    p = {k[6:]: v.clone().requires_grad_() for k, v in t.items() if k.startswith("param.")}
    e = t["input.embedding"].clone().requires_grad_()
    out = hypernet(p, e, meta["kind"], shapes, int(meta["layers"]), int(meta["rank"]))
    got = {f"output.{m}.{f}": x for m, ab in out.items() for f, x in zip("AB", ab)}
    sum((t[k.replace("output", "cotangent")] * x).sum() for k, x in got.items()).backward()
    got |= {f"grad.{k}": v.grad for k, v in p.items()} | {"grad.input.embedding": e.grad}
    assert got.keys() == {k for k in t if k.startswith(("output.", "grad."))}
    worst = max(((x - t[k]).abs().max() / t[k].abs().max().clamp(min=1e-30)).item() for k, x in got.items())
    print(f"{file}: {len(got)} tensors, largest relative difference {worst:.2e}")
    assert worst < 1e-12
    save_file(t, os.path.join(sys.argv[2], file), metadata=meta)
