"""What the tiny Llama says of its last tokens: hidden_states[-1] of transformers (after the final norm), times sqrt(C) / its norm.

    python3 make_llm_embed.py OUT_DIR

The three sequences of llm_tiny.safetensors, in float64 with transformers 5.23.0, padded on the left and on the right, which agree.
"""
import os, sys
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM
from store import save_file

here = sys.argv[1]
golden = load_file(os.path.join(here, "llm_tiny.safetensors"))
ids, cu = golden["input.ids"], golden["input.cu_seqlens"].tolist()
model = LlamaForCausalLM.from_pretrained(os.path.join(here, "llama_tiny")).double().eval()
seqs = [ids[a:b] for a, b in zip(cu, cu[1:])]
longest, made = max(map(len, seqs)), []
for side in ("left", "right"):
    tokens, mask = torch.zeros(3, longest, dtype=torch.int64), torch.zeros(3, longest, dtype=torch.int64)
    for i, s in enumerate(seqs):
        at = slice(longest - len(s), None) if side == "left" else slice(0, len(s))
        tokens[i, at], mask[i, at] = s, 1
    with torch.no_grad():
        hidden = model(input_ids=tokens, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), output_hidden_states=True).hidden_states[-1]
    made.append(torch.stack([h[m.nonzero()[-1, 0]] for h, m in zip(hidden, mask)]))
assert (made[0] - made[1]).abs().max() < 1e-6
e = torch.nn.functional.normalize(made[1]) * made[1].shape[-1] ** 0.5
save_file({"embedding": e.contiguous()}, os.path.join(here, "llm_embed.safetensors"))
print(f"largest difference between paddings {(made[0] - made[1]).abs().max():.1e}, embeddings up to {e.abs().max():.2f}")
