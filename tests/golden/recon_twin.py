"""A PyTorch twin of training by reconstruction (method.md section 5) in float64: losses to compare with a C run.

    python3 recon_twin.py --dump DIR --out OUT      DIR as dump_recon writes it; writes OUT/recon_train.json

{variant: {"loss", "grad_norm", "lr"}}, one number a step (norm before the clip). Delta W is formed. No dropout.
Tried with torch 2.15.0, safetensors 0.8.0, transformers 5.23.0.
"""
import argparse, json, math
import torch
from safetensors.torch import load_file
from transformers import get_linear_schedule_with_warmup
from twin import hypernet

ap = argparse.ArgumentParser()
ap.add_argument("--dump", required=True)
ap.add_argument("--out", required=True)
a = ap.parse_args()
L, R, C, MODULES = 3, 4, 1e4, {"q_proj": (40, 40), "v_proj": (40, 16)}
l1 = torch.nn.functional.l1_loss


def train(name):
    t = {k: v.double() for k, v in load_file(f"{a.dump}/{name}.safetensors").items()}
    with open(f"{a.dump}/{name}.json") as f:
        run = json.load(f)
    params = {k[6:]: v.requires_grad_() for k, v in t.items() if k.startswith("param.")}
    shape = lambda x, m, f: x.view(-1, L, R, MODULES[m][0]) if f == "A" else x.view(-1, L, MODULES[m][1], R)
    target = {(m, f): shape(t[f"target.{m}.{f}"], m, f) for m in MODULES for f in "AB"}
    offset = {(m, f): shape(t[f"offset.{m}.{f}"], m, f) if f"offset.{m}.{f}" in t else 0.0 for m in MODULES for f in "AB"}
    delta_w, zscore = name.startswith("delta_w"), name == "zscore"
    if not delta_w:
        target = {k: v - offset[k] for k, v in target.items()}
    if zscore:
        target = {k: (v - v.mean(0)) / (v.std(0) + 1e-10) for k, v in target.items()}
    leaves = [p for p in params.values() if p.requires_grad]
    optimizer = torch.optim.AdamW(leaves, lr=1e-3, weight_decay=1e-3, betas=(0.9, 0.999), eps=1e-8)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(0.1 * run["steps"]), run["steps"])
    log = {"loss": [], "grad_norm": [], "lr": []}
    for b in run["batches"]:
        out = hypernet(params, t["embeddings"][b["rows"]], run["size"], MODULES, L, R)
        losses = []
        for m, (A, B) in out.items():
            tA, tB = target[m, "A"][b["tasks"]], target[m, "B"][b["tasks"]]
            if delta_w:
                A, B = A + math.sqrt(C) * offset[m, "A"], B + math.sqrt(C) * offset[m, "B"]
                losses.append(l1(B @ A, C * (tB @ tA)))
            else:
                losses.append((l1(A, tA) + l1(B, tB)) / 2)
        loss = sum(losses) / len(losses)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        for k, v in zip(log, (loss.item(), norm.item(), schedule.get_last_lr()[0])):
            log[k].append(v)
        optimizer.step()
        schedule.step()
    return log


names = ("delta_w", "delta_w_offset", "zscore", "plain", "plain_offset")
with open(a.out + "/recon_train.json", "w") as f:
    json.dump({n: train(n) for n in names}, f)
    f.write("\n")
