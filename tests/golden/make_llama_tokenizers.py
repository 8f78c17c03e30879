"""Tokenises corpus.jsonl with the Llama-3.1 and Llama-2 vocabularies, and random texts with small tokenizers.

    python3 make_llama_tokenizers.py --vocab DIR --out OUT_DIR

DIR holds llama2.tokenizer.json.xz and llama3_1.tokenizer.json.xz. No special token is added; those in the text are
recognised. Made with Python 3.11, tokenizers 0.23.3.
"""
import argparse, copy, json, lzma, os, random
from tokenizers import Tokenizer

ap = argparse.ArgumentParser()
ap.add_argument("--vocab", required=True)
ap.add_argument("--out", required=True)
a = ap.parse_args()
META = "\u2581"


def load(spec):
    return Tokenizer.from_str(json.dumps(spec))


def ids(t, s):
    return t.encode(s, add_special_tokens=False).ids


def decode(t, i):
    return t.decode(i, skip_special_tokens=False)


def write(name, rows):
    with open(os.path.join(a.out, name), "w", newline="\n") as f:
        f.writelines(json.dumps(r, separators=(",", ":")) + "\n" for r in rows)


def read(name):
    with lzma.open(os.path.join(a.vocab, name + ".tokenizer.json.xz")) as f:
        return json.load(f)


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": META, "prepend_scheme": scheme, "split": split}


# ---- the large vocabularies -------------------------------------------------------------------------------------
llama2, llama3 = read("llama2"), read("llama3_1")
modern = copy.deepcopy(llama2)
modern["normalizer"], modern["pre_tokenizer"] = None, metaspace("first", False)
tokenizers = {"llama2": load(llama2), "llama3_1": load(llama3), "llama2_metaspace": load(modern)}
with open(os.path.join(a.out, "corpus.jsonl")) as f:
    corpus = [json.loads(line) for line in f]
rows = {name: [ids(t, s) for s in corpus] for name, t in tokenizers.items()}
write("llama2_ids.jsonl", rows["llama2"])
write("llama3_1_ids.jsonl", rows["llama3_1"])
write("llama2_metaspace.jsonl", ([i, m] for i, (l, m) in enumerate(zip(rows["llama2"], rows["llama2_metaspace"])) if l != m))

rng = random.Random(11)
decoded = []
for name, t in tokenizers.items():
    for i, row in enumerate(rows[name]):          # rows that do not come back as they were
        if decode(t, row) != corpus[i]:
            decoded.append({"model": name, "row": i, "text": decode(t, row)})
    size = t.get_vocab_size()
    cut = [r[1:] for r in rng.sample([r for r in rows[name] if len(r) > 2], 40)]
    cut += [[rng.randrange(size) for _ in range(rng.randint(1, 10))] for _ in range(40)]
    cut += [[rng.randrange(3, 259) for _ in range(rng.randint(1, 12))] for _ in range(40)]  # single bytes mostly
    cut = [[i for i in c if "\0" not in decode(t, [i])] for c in cut]  # the C tests' JSON has no U+0000
    decoded += [{"model": name, "ids": c, "text": decode(t, c)} for c in cut]
write("llama_decoded.jsonl", decoded)

# ---- small tokenizers, one for each feature ---------------------------------------------------------------------
LETTERS = [META, *"abehlo1", "\u00e9", "."]
MERGES = [f"{META} {META}", f"{META}{META} {META}{META}", "h e", "l l", "he ll", "hell o", f"{META} hello", "a b", "b a", "ab a",
          f"{META} a", "\u00e9 \u00e9", "1 1", f"{META} ll"]
CROSSING = [f"a {META}", f"a{META} b"]            # merges over the beginning of a word


def added(i, content, **on):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **on}


def sentence(normalizer, pre, merges=MERGES, drop=(), strip=1, extra=(), marks=False, **model):
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocab.update({f"<0x{b:02X}>": 3 + b for b in range(256) if b not in drop})
    for s in LETTERS + [m.replace(" ", "") for m in merges]:
        vocab[s] = 259 + len([v for v in vocab.values() if v >= 259])
    steps = [{"type": "Replace", "pattern": {"String": META}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    steps += [{"type": "Strip", "content": " ", "start": strip, "stop": 0}] if strip else []
    n = max(vocab.values()) + 1
    tokens = [added(i, s, special=True, normalized=marks) for s, i in list(vocab.items())[:3]]
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": tokens + [{**e, "id": n + i} for i, e in enumerate(extra)], "normalizer": normalizer, "pre_tokenizer": pre,
            "post_processor": None, "decoder": {"type": "Sequence", "decoders": steps},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges, **model}}


def alphabet():                                   # GPT-2's letters for the bytes
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    more = iter(range(256, 512))
    return [chr(b if b in keep else next(more)) for b in range(256)]


def byte_level(pattern, merges, tokens, **model):
    vocab = {c: i for i, c in enumerate(alphabet())}
    for s in [m.replace(" ", "") for m in merges] + tokens:
        vocab[s] = len(vocab)
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [added(len(vocab) + i, s, special=True) for i, s in enumerate(("<s>", "</s>", "[X]"))], "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": merges, **model}}


replace = {"type": "Replace", "pattern": {"String": " "}, "content": META}
legacy = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": META}, replace]}
extra = [added(0, "[X]", lstrip=True, rstrip=True), added(0, "tool", single_word=True, normalized=True), added(0, "\n\n"), added(0, " he", normalized=True)]
drop = [*range(0x80, 0xa0), 0xf0]
R3 = llama3["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
small = {
    "legacy": sentence(legacy, None),
    "legacy, merges across words": sentence(legacy, None, merges=MERGES + CROSSING),
    "legacy, added tokens": sentence(legacy, None, extra=extra),
    "legacy, marks normalized": sentence(legacy, None, extra=extra, marks=True),
    "legacy, ignore_merges": sentence(legacy, None, ignore_merges=True, merges=MERGES[:-1]),
    "no bytes for some, unk fused": sentence(legacy, None, drop=drop),
    "no bytes for some, unk not fused": sentence(legacy, None, drop=drop, fuse_unk=False),
    "no byte fallback": sentence(legacy, None, byte_fallback=False),
    "metaspace first": sentence(None, metaspace("first", False), extra=extra),
    "metaspace first, split": sentence(None, metaspace("first", True), merges=MERGES + CROSSING),
    "metaspace always, split": sentence(None, metaspace("always", True), extra=extra),
    "metaspace never": sentence(None, metaspace("never", False)),
    "replace only": sentence(replace, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, strip=0, extra=extra),
    "llama-3": byte_level(R3, ["h e", "l l", "he ll", "hell o", "\u0120 hello", "1 1", "11 1", "\u010a \u010a", "\u0120 \u0120", "\u00c3 \u00a9"],
                          ["lo", "\u0120ab", "aba"], ignore_merges=True),
}
small["merges as pairs"] = copy.deepcopy(small["legacy"])
small["merges as pairs"]["model"]["merges"] = [m.split(" ") for m in MERGES]
BITS = ["h", "e", "l", "o", "a", "b", "hello", " hello", "ll", "he", " he", "ab", "aba", " ", " ", "  ", "    ", META, META * 2, "1", "11", "111", "1111", ".", "\u00e9",
        "\u00e9\u00e9", "\u017c", "\u65e5\u672c", "\U0001f600", "\ufffd", "z", "\n", "\n\n", "\t", "<s>", "</s>", "<unk>", "[X]", "tool", "<0x0A>", "'S", "'ll", "\x01", "\u00a0"]


def cases(t):
    texts = ["", " ", META, "hello", " hello", "  hello", "a b", "<s>", "<s>hello", " <s> hello", "hello</s>", "\U0001f600z", "z\U0001f600\U0001f601z."]
    texts += ["".join(rng.choice(BITS) for _ in range(rng.randint(1, 9))) for _ in range(70)]
    for s in texts:
        i = ids(t, s)
        yield [s, i, decode(t, i)]


write("small_tokenizers.jsonl", ({"name": n, "tokenizer": s, "cases": list(cases(load(s)))} for n, s in small.items()))
