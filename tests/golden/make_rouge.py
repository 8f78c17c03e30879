"""500 pairs of texts with ROUGE-1 and ROUGE-L F1 as the rouge_score package gives them, Porter stemming on.

    python3 make_rouge.py SNI_TASKS OUT_DIR

SNI_TASKS: Super-NaturalInstructions task files (allenai/natural-instructions, Apache-2.0). Most targets are cut from their inputs; a
prediction is the target with words dropped, doubled, swapped or given another ending, or another text. The last pairs hold what a
tokenizer can trip over. Made with rouge_score 0.1.2, nltk 3.10.4.
"""
import json, os, random, sys
from rouge_score import rouge_scorer

random.seed(5)
tasks, out = sys.argv[1:3]
texts = []
for name in sorted(os.listdir(tasks))[::5]:
    rows = json.load(open(os.path.join(tasks, name)))["Instances"]
    for row in random.sample(rows, min(8, len(rows))):
        words = row["input"].split()
        start = random.randrange(max(1, len(words) - 12))
        texts.append(" ".join(words[start:start + random.randrange(1, 13)])[:90])
random.shuffle(texts)
endings = ["", "s", "ed", "ing", "ly", "ies", "ied", "ational", "fulness", "alli", "logi", "ement", "y", "eed", "ousness", "biliti", "ll", "e"]
strange = [("", ""), ("", "word"), ("...", "---"), ("naïve café", "NAIVE CAFE"), ("\u212aelvin \u0130stanbul", "kelvin istanbul"), ("dying skies", "die sky"),
           ("innings canning howe exceed succeed", "inning cannings proceed news outings"), ("yyyyyy syzygy toys", "yyyyy syzygies toy"),
           ("ties dies flies died spied", "tie die fly die spi"), ("hopping tanned falling hissing fizzed failing filing", "hop tan fall hiss fizz fail file"),
           ("x1y2 3,000 a_b 10%", "x1y2 3 000 a b"), ("geology theologi radicalli", "geolog theology radical"), ("日本語 text", "text"), ("a\x01b\tc\nd", "a b c d")]
pairs = []
for text in texts[:500 - len(strange)]:
    words = text.split()
    kind = random.randrange(6)
    if kind == 0:
        pred = random.choice(texts)
    else:
        pred = []
        for w in words:
            r = random.random()
            if r < 0.15:
                continue
            if r < 0.5:
                w = w.rstrip("s.,;:!?") + random.choice(endings)
            pred += [w, w] if 0.5 <= r < 0.55 else [w]
        if kind == 1:
            random.shuffle(pred)
        pred = " ".join(pred)
    pairs.append((text, pred))
pairs += strange
scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
with open(os.path.join(out, "rouge.jsonl"), "w") as f:
    for target, pred in pairs:
        s = scorer.score(target, pred)
        f.write(json.dumps([target, pred, s["rouge1"].fmeasure, s["rougeL"].fmeasure]) + "\n")
print(len(pairs), sum(1 for t, p in pairs if 0 < scorer.score(t, p)["rougeL"].fmeasure < 1))
