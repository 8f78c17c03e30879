"""make_oracles.py RUN EMBEDDINGS.h5 OUT: oracles.safetensors, parts of adapters that `t2l train lora` trained on real tasks.

RUN: the run's folder (runs/reference/sni32.md says how); EMBEDDINGS.h5: `t2l embed --tasks` of its tasks. The first 16 adapters, of
each LAYERS, in bfloat16: {q_proj,v_proj}.{a,b} [16, layers, ...] as PEFT has them; embeddings [16, 3, 384]: of each task's first three
descriptions."""
import os
import sys

import h5py
import torch
from safetensors.torch import load_file

from store import save_file

LAYERS, TASKS, TEXTS = (4, 20), 16, 3
run, store, out = sys.argv[1:4]
names = sorted(os.listdir(os.path.join(run, "adapters")))[:TASKS]
tensors = {}
adapters = [load_file(os.path.join(run, "adapters", n, "adapter_model.safetensors")) for n in names]
for module in ("q_proj", "v_proj"):
    for factor in ("A", "B"):
        key = "base_model.model.model.layers.%d.self_attn." + module + ".lora_" + factor + ".weight"
        tensors[f"{module}.{factor.lower()}"] = torch.stack(
            [torch.stack([a[key % layer] for layer in LAYERS]) for a in adapters]).to(torch.bfloat16)
with h5py.File(store) as f:
    tasks = [t.decode() for t in f["task"][:]]
    rows = [[i for i, t in enumerate(tasks) if t == n][:TEXTS] for n in names]
    tensors["embeddings"] = torch.stack([torch.stack([torch.from_numpy(f["embedding"][i]) for i in r]) for r in rows]).to(torch.bfloat16)
save_file(tensors, os.path.join(out, "oracles.safetensors"))
