"""Compares `t2l score --model M --adapter DIR` with transformers + PEFT in float32.

    python3 peft_check.py --model HF_DIR --adapter PEFT_DIR --input pairs.jsonl --scores scores.jsonl [--tolerance 1e-3]

pairs.jsonl: {"context","continuation"} a line, what the CLI read; scores.jsonl: {"logprob","tokens","greedy"} a line, what
it printed (other lines are skipped). Context and continuation are tokenised together and split where the
lm-evaluation-harness splits (eval.md B): trailing white space of the context moves to the continuation; an empty
context is the bos token. Without --adapter the bare model is compared. Exit status 1 where a token count or a
greedy flag differs or a log-probability is further off than --tolerance. Made for torch 2.15.0, transformers 5.23.0, peft 0.21.2.
"""
import argparse, json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

ap = argparse.ArgumentParser()
for flag, need in (("model", True), ("adapter", False), ("input", True), ("scores", True)):
    ap.add_argument("--" + flag, required=need)
ap.add_argument("--tolerance", type=float, default=1e-3)
ap.add_argument("--threads", type=int, default=2)
a = ap.parse_args()
torch.set_num_threads(a.threads)
tok = AutoTokenizer.from_pretrained(a.model)
model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32)
if a.adapter:
    model = PeftModel.from_pretrained(model, a.adapter)
    used = sum(p.abs().sum().item() > 0 for n, p in model.named_parameters() if "lora_B" in n)
    print(f"{used} adapted projections with a non-zero B")
    assert used, "PEFT loaded nothing from the adapter: are its tensor names right?"
model.eval()


def split(context, continuation):
    """-> (context ids, continuation ids), as the harness encodes a pair."""
    encode = lambda s: tok(s, add_special_tokens=False)["input_ids"]
    if not context:
        prefix = tok.bos_token_id if tok.bos_token_id is not None else tok.eos_token_id
        ids = encode(continuation)
        return ([prefix], ids) if ids[:1] != [prefix] else (ids[:1], ids[1:])
    n = len(context) - len(context.rstrip())
    context, continuation = context[:len(context) - n], context[len(context) - n:] + continuation
    whole, head = encode(context + continuation), encode(context)
    return head, whole[len(head):]


@torch.no_grad()
def score(context, continuation):
    head, tail = split(context, continuation)
    logp = model(torch.tensor([head + tail])).logits[0, len(head) - 1:-1].double().log_softmax(-1)
    y = torch.tensor(tail)
    return {"logprob": logp.gather(1, y[:, None]).sum().item(), "tokens": len(tail), "greedy": bool((logp.argmax(-1) == y).all())}


def rows(path, key):
    with open(path) as f:
        return [r for r in map(json.loads, filter(str.strip, f)) if key in r]


pairs, ours = rows(a.input, "continuation"), rows(a.scores, "logprob")
assert len(pairs) == len(ours), f"{len(pairs)} pairs, {len(ours)} scores"
worst = bad = 0
for i, (p, o) in enumerate(zip(pairs, ours)):
    r = score(p["context"], p["continuation"])
    d = abs(r["logprob"] - o["logprob"])
    worst = max(worst, d)
    if not d <= a.tolerance or r["tokens"] != o["tokens"] or r["greedy"] != bool(o["greedy"]):
        bad += 1
        print(f"line {i + 1}: PEFT {r}, ours {o}")
print(json.dumps({"pairs": len(pairs), "differing": bad, "max_abs_logprob_difference": worst}))
sys.exit(bad > 0)
