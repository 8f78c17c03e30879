"""safetensors files that are the same bytes every time: the library writes metadata keys in random order."""
import json
from safetensors.torch import save


def save_file(tensors, path, metadata=None):
    data = save(tensors, metadata)
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    if metadata:
        header = {"__metadata__": dict(sorted(metadata.items()))} | {k: v for k, v in header.items() if k != "__metadata__"}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + data[8 + n:])
