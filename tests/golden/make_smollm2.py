"""Logits and greedy continuations of SmolLM2-135M-Instruct by transformers, float32 and bfloat16.

    python3 make_smollm2.py --llm SMOLLM2_HF_DIR --out OUT_DIR

SMOLLM2_HF_DIR: see make_tokenizer.py. Made on a CPU with torch 2.15.0, transformers 5.23.0, safetensors 0.8.0.
"""
import argparse, json, os
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from store import save_file

ap = argparse.ArgumentParser()
ap.add_argument("--llm", required=True)
ap.add_argument("--out", required=True)
a = ap.parse_args()
torch.set_num_threads(2)
tok = AutoTokenizer.from_pretrained(a.llm)
chat = lambda *turns: "".join(f"<|im_start|>{r}\n{c}<|im_end|>\n" for r, c in turns) + "<|im_start|>assistant\n"
prompts = [chat(("user", "Name three animals that can fly.")),
           "The old bridge was closed for repairs, so the travellers",
           chat(("system", "Answer with one word."), ("user", "Is 17 a prime number?"), ),
           "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
           chat(("user", "Translate to French: good morning"))]
columns = torch.arange(0, 49152, 192)
out = {"columns": columns}
for dtype in (torch.float32, torch.bfloat16):
    model = AutoModelForCausalLM.from_pretrained(a.llm, dtype=dtype, attn_implementation="eager").eval()
    for i, text in enumerate(prompts):
        ids = torch.tensor(tok(text, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            logits = model(ids[None]).logits[0].float()
        if dtype is torch.bfloat16:
            out[f"logits_bf16.{i}"] = logits[:, columns].contiguous()
            continue
        out |= {f"ids.{i}": ids, f"logits.{i}": logits[:, columns].contiguous()}
        if i == 0:
            out["last_logits.0"] = logits[-1].clone()
        greedy, gaps, past, step = [], [], None, ids[None]
        with torch.no_grad():
            for _ in range(50):                        # never stops at the end of a turn
                y = model(step, past_key_values=past, use_cache=True)
                past, (top, arg) = y.past_key_values, y.logits[0, -1].topk(2)
                gaps.append(top[0] - top[1])
                greedy.append(arg[0])
                step = arg[:1][None]
        out |= {f"greedy.{i}": torch.stack(greedy), f"greedy_gap.{i}": torch.stack(gaps)}
        print(i, len(ids), "tokens; smallest gap between the two best logits", min(gaps).item(), repr(tok.decode(greedy)[:80]))
for i in range(len(prompts)):
    d = out[f"logits_bf16.{i}"] - out[f"logits.{i}"]
    print(i, "bfloat16 error: rms", d.square().mean().sqrt().item(), "largest", d.abs().max().item())
save_file(out, os.path.join(a.out, "smollm2.safetensors"), metadata={"prompts": json.dumps(prompts)})
