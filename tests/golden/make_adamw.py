"""Twenty steps of AdamW with a global-norm clip and the warm-up schedule, float32, on stored random gradients.

    python3 make_adamw.py OUT_DIR

torch.optim.AdamW(lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight decay 1e-2), clip_grad_norm_ 1.0 over the three tensors,
transformers get_linear_schedule_with_warmup (4 of 20 steps; the first step has lr 0). Made with torch 2.15.0, transformers 5.23.0.
"""
import os, sys
import torch
from transformers import get_linear_schedule_with_warmup
from store import save_file

torch.set_num_threads(1)
g = torch.Generator().manual_seed(5)
params = {n: torch.randn(s, generator=g).requires_grad_() for n, s in (("a", (33,)), ("b", (7, 5)), ("c", (130,)))}
opt = torch.optim.AdamW(params.values(), lr=1e-3, weight_decay=1e-2, betas=(0.9, 0.999), eps=1e-8, foreach=False)
steps = 20
schedule = get_linear_schedule_with_warmup(opt, steps // 5, steps)
out = {f"init.{n}": p.detach().clone() for n, p in params.items()}
lr, norm = [], []
for t in range(steps):
    size = (1.0, 0.02, 0.3, 1e-4, 30.0)[t % 5]          # norms about 14, 0.3, 4, 0.001, 400: clipped in three of five steps
    for n, p in params.items():
        p.grad = torch.randn(p.shape, generator=g) * size
        out[f"grad.{t}.{n}"] = p.grad.clone()
    norm.append(torch.nn.utils.clip_grad_norm_(params.values(), 1.0))
    lr.append(schedule.get_last_lr()[0])
    opt.step()
    schedule.step()
    out |= {f"param.{t}.{n}": p.detach().clone() for n, p in params.items()}
for n, p in params.items():
    out |= {f"m.{n}": opt.state[p]["exp_avg"], f"v.{n}": opt.state[p]["exp_avg_sq"]}
save_file(out | {"lr": torch.tensor(lr, dtype=torch.float64), "norm": torch.stack(norm)}, os.path.join(sys.argv[1], "adamw.safetensors"))
print(lr, [round(x.item(), 4) for x in norm])
