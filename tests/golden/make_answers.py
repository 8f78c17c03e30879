"""answers.jsonl and stats.json: what the references make of a few hundred odd answers. usage: make_answers.py OUT

Choices, truth values and numbers: Python's own strip, lower, re on the rules of eval/answers.h. gsm8k: the filters and
the metric of lm-evaluation-harness, configured by its own gsm8k task. pass@k: exact fractions, and the product that
human-eval computes, in numpy. Bootstrap: numpy over draws of the same Philox stream."""
import json, math, os, random, re, sys
from fractions import Fraction
import numpy as np
import lm_eval
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.filters.extraction import RegexFilter
import yaml

OUT = sys.argv[1]
config = yaml.safe_load(open(os.path.join(os.path.dirname(lm_eval.__file__), "tasks/gsm8k/gsm8k.yaml")))
filters = {f["name"]: RegexFilter(**{k: v for k, v in f["filter"][0].items() if k != "function"})
           for f in config["filter_list"]}
ignore = config["metric_list"][0]["regexes_to_ignore"]


def choice(s):
    s = s.strip(" \t\n\r\v\f:`'\"(.)").lower()
    return s[0] if s and s[0] in "abcdefghijklmnopqrstuvwxyz0123456789" else ""


def boolean(s):
    s = s.lower()
    for word, value in [("1", 1), ("0", 0), ("yes", 1), ("no", 0), ("true", 1), ("false", 0), ("positive", 1), ("negative", 0)]:
        if word in s:
            return value
    return -1


def strict(s):
    m = re.search("[a-z0-9]+", s, re.I | re.A)
    words = {"1": 1, "0": 0, "yes": 1, "no": 0, "true": 1, "false": 0, "positive": 1, "negative": 0}
    return words.get(m.group().lower(), -1) if m else -1


def number(s):
    found = re.findall(r"[0-9]+(?:\.[0-9]+)?", s.replace(",", ""))
    return float(found[-1]) if found else None


def gsm8k(s, target):
    row = []
    for name in ["strict-match", "flexible-extract"]:
        pred = filters[name].apply([[s]], None)[0][0]
        row += [pred, int(exact_match_hf_evaluate([pred], [target], ignore, ignore_case=True)["exact_match"])]
    return row


pieces = ["A", "b", "C", "1", "1.", "(2)", "42", "1,234", "$1,234.50", "#### ", "####", "#### -5", "-5", "3.14.15", ".5", "5.", "yes", "No",
          "TRUE", "false.", "positive", "Negative", "Answer: ", "Answer", "(B)", "`c`", "**D**", "\n", " ", "  ", "\t", ", ", ".", ",", "$", "-",
          "--", "nothing", "know", "10", "The answer is ", "é", "B:", "\"A\"", "'", "x", "#### $70,000.", "#### 12.", "#### 1,000", "%", "0",
          "18 eggs", "=", "<<2*3=6>>", "$$", "$.", "..", ",,"]
fixed = ["", " ", "A", "a", "A.", "(A)", " B: because", "Answer: B", "\"C\"", "`D`", "1", "1.", "(1)", "1)", "N/A", "é", "*A*", "Option 2", "7", "e",
         "The answer is A", "True", "true.", "False, 1", "Yes", "no", "nothing", "I do not know", "It is true", "10", "$1,234.00", "1,2,3", "-7", "7.",
         "7.5.3", "12 and 13", "#### 5", "#### 5 #### 6", "x #### 1,234", "####5", "#### .", "#### -", "The answer is 5.", "[invalid]", "$5", "5$", "5,"]
targets = ["So it is 5\n#### 5", "#### 1,234", "#### -5", "#### 70000", "x\n#### 12", "#### 42", "#### 18"]
rng = random.Random(7)
texts = list(fixed)
while len(texts) < 500:
    texts.append("".join(rng.choice(pieces) for _ in range(rng.randint(1, 6))))
with open(OUT + "/answers.jsonl", "w") as f:
    for i, s in enumerate(texts):
        t = targets[i % len(targets)]
        if i % 3 == 0:
            s = s + " " + t.split("#### ")[-1]
        row = {"text": s, "choice": choice(s), "boolean": boolean(s), "strict": strict(s), "number": number(s), "target": t, "gsm8k": gsm8k(s, t)}
        f.write(json.dumps(row) + "\n")

M = 0xFFFFFFFF


def philox(seed, stream, index):
    c = [index & M, index >> 32, stream & M, stream >> 32]
    k0, k1 = seed & M, seed >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M, (p0 >> 32) ^ c[3] ^ k1, p0 & M]
        k0, k1 = (k0 + 0x9E3779B9) & M, (k1 + 0xBB67AE85) & M
    return c


def draws(seed, stream, n):
    limit, out, i = (1 << 32) % n, [], 0
    while len(out) < n:
        x = philox(seed, stream, i >> 2)[i & 3]
        i += 1
        if x >= limit:
            out.append(x % n)
    return out


def paired(n, resamples, seed, p):
    r = np.random.RandomState(n)
    x, y = (r.rand(n) < p[0]).astype(float), (r.rand(n) < p[1]).astype(float)
    means = np.array([np.mean((x - y)[draws(seed, k, n)]) for k in range(resamples)])
    low, high = np.percentile(means, [2.5, 97.5])
    return {"x": "".join(str(int(v)) for v in x), "y": "".join(str(int(v)) for v in y), "seed": seed, "resamples": resamples,
            "diff": float(np.mean(x - y)), "error": float(np.std(means, ddof=1)), "low": float(low), "high": float(high)}


passk = []
for n in [1, 2, 5, 10, 200]:
    for c in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        for k in sorted({1, 2, 5, n}):
            if k <= n:
                exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
                product = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
                assert abs(float(exact) - product) < 1e-12
                passk.append([n, c, k, float(exact)])
means = [{"x": v, "mean": float(np.mean(v)), "error": float(np.std(v, ddof=1) / math.sqrt(len(v)))}
         for v in [[0.5, 0.25, 0.75], [1, 1, 1, 1], [0.61, 0.64, 0.59]]]
json.dump({"pass_at_k": passk, "means": means, "bootstrap": [paired(37, 200, 42, (.7, .5)), paired(200, 100, 1, (.5, .5)), paired(1, 5, 3, (1, 0))]},
          open(OUT + "/stats.json", "w"))
