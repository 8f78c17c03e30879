"""Reads a store of t2l with h5py and prints what `t2l inspect --json` prints of it, to compare by eye or with diff.

    python3 h5py_check.py X.h5      a library of adapters or a store of embeddings (data/store.h)

The norms are computed anew, in float64. Tried with h5py 3.16.0, numpy 2.4.6.
"""
import json, math, sys
import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    head, n = json.loads(f.attrs["t2l"].decode() if isinstance(f.attrs["t2l"], bytes) else f.attrs["t2l"]), int(f["committed"][0])
    for column in head["columns"]:
        assert f[column].fletcher32 and f[column].chunks[0] == 1, column
    text = lambda column, i: f[column][i].decode()
    print({k: head[k] for k in head if k != "columns"}, n, "records of", len(f[head["columns"][0]]))
    for i in range(n):
        if head["kind"] == "embeddings":
            print({"record": i, "task": text("task", i), "text": text("text", i), "norm": np.linalg.norm(f["embedding"][i].astype("f8"))})
            continue
        scale = head["alpha"] / (math.sqrt(head["rank"]) if head["use_rslora"] else head["rank"])
        total = sum(np.square(f[m + ".B"][i].astype("f8") @ f[m + ".A"][i].astype("f8")).sum() for m in head["modules"])
        print({"record": i, "name": text("name", i), "delta_norm": scale * math.sqrt(total), "facts": text("facts", i)})
