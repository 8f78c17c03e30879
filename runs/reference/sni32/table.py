#!/usr/bin/env python3
"""table.py EVAL TASKS: the table of run.sh, in Markdown, from what `t2l eval -o` wrote under EVAL."""
import glob, json, math, os, sys

where, tasks = sys.argv[1:3]
index = json.load(open(os.path.join(tasks, "index.json")))
read = lambda name: json.load(open(os.path.join(where, name, "results.json")))["results"]
recon, sft = read("recon"), read("sft")
arms = {
    "base": lambda t: recon[t]["base"],
    "LoRA of its own": lambda t: read(os.path.join("oracle", t))[t][t],
    "multi-task LoRA": lambda t: recon[t]["multitask"],
    "T2L recon": lambda t: recon[t]["t2l"],
    "recon, random text": lambda t: recon[t]["random"],
    "recon, other task": lambda t: recon[t]["other"],
    "T2L SFT": lambda t: sft[t]["t2l"],
    "SFT, random text": lambda t: sft[t]["random"],
    "SFT, other task": lambda t: sft[t]["other"],
}
names = index["short"]
print("| ROUGE-L, % | n | " + " | ".join(arms) + " |")
print("|---|---:|" + "---:|" * len(arms))
for t in names:
    cells = [f"{100 * f(t)['rougeL']:.1f}" for f in arms.values()]
    print(f"| {index['available'][t]} | {recon[t]['base']['n']} | " + " | ".join(cells) + " |")
for title, key in (("**mean ROUGE-L**", "rougeL"), ("mean ROUGE-1", "rouge1"), ("mean exact match", "exact_match")):
    cells = []
    for f in arms.values():
        x = [100 * f(t)[key] for t in names]
        mean = sum(x) / len(x)
        cells.append(f"{mean:.1f} ± {math.sqrt(sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x)):.1f}")
    print(f"| {title} | | " + " | ".join(cells) + " |")
