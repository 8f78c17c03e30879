"""Writes recon.json: the reconstruction loss mean |B A - c B* A*| (float64, delta W formed) and entries of its gradients.

    python3 make_recon.py OUT

{"small"|"q"|"v": {"loss", "at": [n], "da": [n], "db": [n]}}: entry `at` (modulo the size) of dA [items,r,in] and of
dB^T [items,r,out], flattened. The adapters are drawn by draw(), exact in float32. Tried with torch 2.15.0.
"""
import json, sys
import torch


def draw(n, seed, size):
    i = torch.arange(n, dtype=torch.int64)
    return size * ((i * i * 7919 + i * 611953 + seed * 104729) % 1048576 - 524288).double() / 524288


def problem(items, r, n_in, n_out, c, entries):
    A, tA = (draw(items * r * n_in, s, z).view(items, r, n_in) for s, z in ((1, 1), (3, 2 ** -7)))
    Bt, tBt = (draw(items * r * n_out, s, z).view(items, r, n_out) for s, z in ((2, 1), (4, 2 ** -7)))
    A.requires_grad_(), Bt.requires_grad_()
    loss = torch.nn.functional.l1_loss(Bt.transpose(1, 2) @ A, c * (tBt.transpose(1, 2) @ tA))
    loss.backward()
    at = [(k * 2654435761) % 1000003 for k in range(entries)]
    pick = lambda g: [g.flatten()[k % g.numel()].item() for k in at]
    return {"loss": loss.item(), "at": at, "da": pick(A.grad), "db": pick(Bt.grad)}


out = {"small": problem(2, 3, 11, 13, 1e4, 80), "q": problem(2, 8, 576, 576, 1e4, 300), "v": problem(2, 8, 576, 192, 1e4, 300)}
with open(sys.argv[1] + "/recon.json", "w") as f:
    json.dump(out, f)
    f.write("\n")
