"""lm-evaluation-harness's own tasks and model class, on the CPU in float32, over local examples.

make_harness.py tiny OUT [SHARED/data/eval]: OUT/harness.jsonl, what the harness makes of OUT/benchmarks/<task>.jsonl with
    the tiny model OUT/llama_tiny and a tokenizer of one token a byte; then the same with a tokenizer that puts its token for
    the beginning in front of every text ("bos": true). With SHARED also OUT/harness_shared.json: the first 200 examples of
    each file there.
make_harness.py model HF_DIR DATA OUT.jsonl LIMIT [TASK...]: the same with a real model.

Each task is the harness's configuration; only its source of examples is replaced. boolq's answer becomes SuperGLUE's
label, and a hellaswag example without ctx_a and ctx_b gets the whole ctx as ctx_a. A line of harness.jsonl: {"bos",
"task", "index", "lls", "acc", "acc_norm" where the task has it}."""
import json, os, sys, tempfile

os.environ.update(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=tempfile.mkdtemp())
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

TASKS = ["arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"]


def convert(task, row):
    if task == "boolq":
        return {"passage": row["passage"], "question": row["question"], "label": int(row["answer"])}
    if task == "hellaswag":
        return dict(row, ctx_a=row.get("ctx_a", row["ctx"]), ctx_b=row.get("ctx_b", ""))
    return row


def evaluate(lm, task, rows):
    """[(lls, acc, acc_norm or None)] of the rows, in order"""
    path = os.path.join(tempfile.mkdtemp(), task + ".jsonl")
    with open(path, "w") as f:
        f.writelines(json.dumps(convert(task, r)) + "\n" for r in rows)
    split = "test" if task in ("arc_challenge", "arc_easy", "openbookqa") else "validation"
    source = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": {split: path}}, "training_split": None,
              "validation_split": None if split == "test" else split, "test_split": split if split == "test" else None}
    own = manager._factory._build_task(manager._entry(task), source)
    samples = simple_evaluate(model=lm, tasks=[own], num_fewshot=0, bootstrap_iters=0, log_samples=True)["samples"][task]
    out = [([r[0] for r in s["filtered_resps"]], int(s["acc"]), int(s["acc_norm"]) if "acc_norm" in s else None)
           for s in sorted(samples, key=lambda s: s["doc_id"])]
    assert len(out) == len(rows)
    return out


def tiny_model(weights, bos):
    """The tiny Llama with more positions and one token a byte: newline, space, ! to |; other bytes have none."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "\u010a", "\u0120"] + [chr(0x21 + i) for i in range(92)]
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=[]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    if bos:
        t.post_processor = processors.TemplateProcessing(single=tokens[1] + " $A", special_tokens=[(tokens[1], 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=t, bos_token=tokens[1], eos_token=tokens[2], pad_token=tokens[2])
    config = LlamaConfig.from_pretrained(weights)
    config.max_position_embeddings = 8192
    model = LlamaForCausalLM.from_pretrained(weights, config=config, dtype=torch.float32)
    return HFLM(pretrained=model, tokenizer=tokenizer, max_length=8192, batch_size=8, device="cpu")


manager = TaskManager()
if sys.argv[1] == "tiny":
    out = sys.argv[2]
    with open(os.path.join(out, "harness.jsonl"), "w") as f:
        for bos in (True, False):
            lm = tiny_model(os.path.join(out, "llama_tiny"), bos)
            assert len(lm.tok_encode("a")) == 1 + bos
            for task in TASKS:
                odd = [json.loads(line) for line in open(os.path.join(out, "benchmarks", task + ".jsonl"))]
                for i, (lls, acc, norm) in enumerate(evaluate(lm, task, odd)):
                    row = {"bos": bos, "task": task, "index": i, "lls": [round(x, 4) for x in lls], "acc": acc}
                    f.write(json.dumps(row if norm is None else dict(row, acc_norm=norm)) + "\n")
                f.flush()
    if len(sys.argv) > 3:
        shared = {}
        for task in TASKS:
            rows = [json.loads(line) for line in open(os.path.join(sys.argv[3], task + ".jsonl"))][:200]
            got = evaluate(lm, task, rows)
            shared[task] = {"acc": "".join(str(r[1]) for r in got),
                            "acc_norm": "".join(str(r[2]) for r in got) if got[0][2] is not None else None,
                            "lls": [[round(x, 3) for x in r[0]] for r in got]}
        with open(os.path.join(out, "harness_shared.json"), "w") as f:
            json.dump(shared, f)
else:
    model, data, path, limit, *tasks = sys.argv[2:]
    lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=8)
    assert len(lm.tok_encode("a")) == 1, "the tokenizer adds tokens"
    with open(path, "w") as f:
        for task in tasks or TASKS:
            rows = [json.loads(line) for line in open(os.path.join(data, task + ".jsonl"))][:int(limit)]
            for i, (lls, acc, norm) in enumerate(evaluate(lm, task, rows)):
                f.write(json.dumps({"task": task, "index": i, "lls": [round(x, 4) for x in lls], "acc": acc, "acc_norm": norm}) + "\n")
            f.flush()
