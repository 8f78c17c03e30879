"""Times the reconstruction loss and its gradients in PyTorch, delta W formed, on the shapes of tests/bench/bench_recon.c.

    python3 torch_recon.py [--threads 2] [--runs 10]

Prints milliseconds of the fastest run. Tried with torch 2.15.0 (CPU).
"""
import argparse, time
import torch

ap = argparse.ArgumentParser()
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--runs", type=int, default=10)
a = ap.parse_args()
torch.set_num_threads(a.threads)
items, r, c, shapes = 4 * 30, 8, 1e4, ((576, 576), (576, 192))
new = lambda *s: torch.rand(s) - 0.5
w = [(new(items, r, i).requires_grad_(), new(items, o, r).requires_grad_()) for i, o in shapes]
t = [(new(items, r, i) / 100, new(items, o, r) / 100) for i, o in shapes]
best = float("inf")
for _ in range(a.runs):
    start = time.perf_counter()
    for x in w:
        for y in x:
            y.grad = None
    loss = sum(torch.nn.functional.l1_loss(torch.bmm(B, A), c * torch.bmm(tB, tA)) for (A, B), (tA, tB) in zip(w, t)) / len(w)
    loss.backward()
    best = min(best, time.perf_counter() - start)
print(f"torch {torch.__version__}, {a.threads} threads: {best * 1e3:.1f} ms")
