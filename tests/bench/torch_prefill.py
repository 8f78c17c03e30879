"""Prefill rate of the same model in PyTorch, to set beside bench_llm: the best of a few passes over one prompt.

    python3 torch_prefill.py --llm HF_DIR [--dtype bf16|f32] [--tokens 512] [--threads 2]
"""
import argparse, json, time
import torch
from transformers import AutoModelForCausalLM

ap = argparse.ArgumentParser()
ap.add_argument("--llm", required=True)
ap.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
ap.add_argument("--tokens", type=int, default=512)
ap.add_argument("--threads", type=int, default=2)
a = ap.parse_args()
torch.set_num_threads(a.threads)
dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[a.dtype]
model = AutoModelForCausalLM.from_pretrained(a.llm, dtype=dtype).eval()
ids = torch.randint(0, model.config.vocab_size, (1, a.tokens), generator=torch.Generator().manual_seed(1))
best = float("inf")
with torch.no_grad():
    for _ in range(5):
        t = time.perf_counter()
        model.lm_head(model.model(ids).last_hidden_state[:, -1])
        best = min(best, time.perf_counter() - t)
print(json.dumps({"bench": "torch_prefill", "dtype": a.dtype, "tokens": a.tokens, "tokens_per_s": round(a.tokens / best, 1)}))
