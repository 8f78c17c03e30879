"""Reads a run's TensorBoard files with the tensorboard package and compares them with metrics.jsonl.

    python3 events_check.py RUN_DIR
"""
import json, os, sys
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = sys.argv[1]
acc = EventAccumulator(run, size_guidance={"scalars": 0})
acc.Reload()
want = {}
for line in open(os.path.join(run, "metrics.jsonl")):
    row = json.loads(line)
    flat = {f"train/{k}": row[k] for k in ("loss", "lr", "grad_norm") if k in row}
    for name, values in row.get("val", {}).items():
        if isinstance(values, dict):
            flat |= {f"val/{name}/{k}": v for k, v in values.items()}
    for tag, v in flat.items():
        want.setdefault(tag, []).append((row["step"], np.float32(v)))
got = {t: [(e.step, np.float32(e.value)) for e in acc.Scalars(t)] for t in acc.Tags()["scalars"] if t in want}
assert want and set(got) == set(want), (set(got), set(want))
for tag in want:
    assert [s for s, _ in got[tag]] == [s for s, _ in want[tag]], (tag, got[tag], want[tag])
    assert np.allclose([v for _, v in got[tag]], [v for _, v in want[tag]], rtol=1e-6), tag
print("the same:", {t: len(v) for t, v in got.items()})
