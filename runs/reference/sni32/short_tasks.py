#!/usr/bin/env python3
"""SNI OUT: a task folder of the 32 tasks with the shortest text, from a Natural-Instructions folder with index.json.

Short: mean characters of definition, input and first output, among the tasks of the list "train" with at least 150
examples, none over 400 characters. The last 3 of a task's descriptions are kept from training, as its unseen ones."""
import json, os, shutil, sys

sni, out = sys.argv[1:3]
read = lambda name: json.load(open(os.path.join(sni, name), encoding="utf-8"))
index, described = read("index.json"), read("descriptions.json")
rows = []
for name in index["train"]:
    if name not in index["available"]:
        continue
    task = read(f"tasks/{index['available'][name]}.json")
    lengths = [len("".join(task["Definition"])) + len(i["input"]) + len(i["output"][0]) for i in task["Instances"]]
    if len(lengths) >= 150 and max(lengths) <= 400:
        rows.append((sum(lengths) / len(lengths), name))
names = [name for _, name in sorted(rows)[:32]]
os.makedirs(os.path.join(out, "tasks"), exist_ok=True)
for name in names:
    shutil.copy(os.path.join(sni, "tasks", index["available"][name] + ".json"), os.path.join(out, "tasks"))
write = lambda name, value: json.dump(value, open(os.path.join(out, name), "w", encoding="utf-8"), indent=1)
write("index.json", {"short": names, "available": {n: index["available"][n] for n in names}})
write("descriptions.json", {n: described[n][:-3] for n in names})
write("eval_descriptions.json", {"eval_descriptions": {n: described[n][-3:] for n in names}})
