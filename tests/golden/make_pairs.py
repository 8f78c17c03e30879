"""benchmarks/<task>.jsonl: examples with what is odd about each task. harness_pairs.jsonl: the contexts and continuations
that lm-evaluation-harness makes of them. usage: make_pairs.py OUT [SHARED/data/eval]

With SHARED also harness_pairs.json: {task: SHA-256 of all contexts and continuations of the file there, each with a NUL}.
The harness's task files (YAML templates, rendered by jinja2 as the harness does, and its Python functions) are run without
the harness itself, whose import takes a minute; make_harness.py runs all of it. boolq's answer becomes SuperGLUE's label,
and a hellaswag example without ctx_a and ctx_b gets the whole ctx as ctx_a."""
import hashlib, importlib.util, json, os, sys, types

import jinja2, yaml

OUT = sys.argv[1]
TASKS = os.path.join(os.path.dirname(importlib.util.find_spec("lm_eval").origin), "tasks")
FILES = {"arc_challenge": "arc/arc_easy.yaml", "arc_easy": "arc/arc_easy.yaml", "boolq": "super_glue/boolq/default.yaml", "piqa": "piqa/piqa.yaml",
         "hellaswag": "hellaswag/hellaswag.yaml", "openbookqa": "openbookqa/openbookqa.yaml", "winogrande": "winogrande/default.yaml"}
sys.modules["datasets"] = types.ModuleType("datasets")  # named by hellaswag's functions in an annotation only
sys.modules["datasets"].Dataset = object


class Loader(yaml.SafeLoader):
    pass


def function(loader, node):
    module, name = loader.construct_scalar(node).split(".")
    spec = importlib.util.spec_from_file_location(module, os.path.join(loader.folder, module + ".py"))
    m = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(m)
    return getattr(m, name)


Loader.add_constructor("!function", function)
environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


class Rows(list):
    def map(self, f):
        return Rows(dict(r, **f(r)) for r in self)


def config(task):
    path = os.path.join(TASKS, FILES[task])
    loader = Loader(open(path))
    loader.folder = os.path.dirname(path)
    return loader.get_single_data()


def value(spec, row):
    """A doc_to_* of the harness: a function, a list, a field's name, or a template."""
    if callable(spec):
        return spec(row)
    if isinstance(spec, list) or spec in row:
        return row[spec] if isinstance(spec, str) else spec
    if spec.startswith("{{") and spec.endswith("}}") and "\n" not in spec and "}}" not in spec[2:-2]:
        return environment.compile_expression(spec[2:-2])(**row)  # the harness renders a list and parses it again
    return environment.from_string(spec).render(**row)


def pairs(task, c, row):
    if task == "boolq":
        row = dict(row, label=int(row["answer"]))
    if task == "hellaswag":
        row = c["process_docs"](Rows([dict(row, ctx_a=row.get("ctx_a", row["ctx"]), ctx_b=row.get("ctx_b", ""))]))[0]
    choices = value(c["doc_to_choice"], row)
    if task == "winogrande":  # several contexts, one continuation
        return [[x, " " + value(c["doc_to_target"], row)] for x in choices]
    return [[value(c["doc_to_text"], row), " " + x] for x in choices]


def lettered(stem, text, labels, key, field="question"):
    return {field: stem, "choices": {"text": text, "label": labels}, "answerKey": key}


def swag(label, a, b, endings, gold):
    return {"activity_label": label, "ctx": (a + " " + b).strip(), "ctx_a": a, "ctx_b": b, "endings": endings, "label": gold}


four, mixed = list("ABCD"), ["a bird", "a bird", "the bird ", "bird"]
odd = {
    "arc_easy": [lettered("Which?", ["x", "yy", "zzz"], ["1", "2", "3"], "3"), lettered("Which is {{best}}? ", mixed, four, "B"),
                 lettered("Line one\nline two", ["one", "two", "three", "four", "five"], list("ABCDE"), "E"), lettered("", ["a", "b"], ["A", "B"], "A"),
                 lettered("A caf\u00e9 \u2014 where?", ["\u00e9t\u00e9", "Z\u00fcrich", "a", "the longest of them all by far"], four, "D"),
                 lettered("Question: nested?\nAnswer:", ["yes", "no", " maybe", "it depends\n"], ["1", "2", "3", "4"], "2")],
    "arc_challenge": [lettered("Which one is longest in time?", ["a second", "a minute", "an hour", "a day"], four, "D"),
                      lettered("Tie", ["same", "same", "same"], ["A", "B", "C"], "A"), lettered("Tie", ["same", "same", "same"], ["A", "B", "C"], "B")],
    "openbookqa": [lettered("The sun is ", ["hot", "cold", "a star", "near"], four, "C", "question_stem"),
                   lettered("Trailing tab\t\n", ["x", "y", "z", "w"], four, "A", "question_stem"),
                   lettered("Question?", ["one", "two", "three", "four"], four, "B", "question_stem")],
    "boolq": [{"passage": "Ice is water.", "question": "is ice water", "answer": True}, {"passage": "", "question": "is it", "answer": False},
              {"passage": "Two\nlines \"quoted\" ", "question": "is this {{a}} question?", "answer": False}],
    "piqa": [{"goal": "open a jar", "sol1": "turn the lid", "sol2": "turn the lid ", "label": 0}, {"goal": " ", "sol1": "a", "sol2": "bb", "label": 1},
             {"goal": "say 'it''s'", "sol1": "it\\n's \"so\"", "sol2": "'", "label": 1}, {"goal": "boil\nwater", "sol1": "heat it {x}", "sol2": "cool it", "label": 0}],
    "winogrande": [{"sentence": "The cup did not fit the box as the _ was too big.", "option1": "cup", "option2": "box", "answer": "1"},
                   {"sentence": "_ is first, and _ is second.", "option1": "Ann", "option2": "Ben", "answer": "2"},
                   {"sentence": "It ends with _.", "option1": "this", "option2": "that one", "answer": "2"},
                   {"sentence": "Spaces   _   around  ", "option1": "x", "option2": "y z", "answer": "1"}],
    "hellaswag": [swag("Baking cookies", "A man stands.", "he SMILES", ["and bakes.", "and [laughs] goes.", " runs  away. ", "sits   down"], "0"),
                  swag("Home", "[header] How to sit [title] Choose a chair. [step] It must be  soft.", "[substeps] sit", ["Down. [title] Rest.", "Up.", "[step] Away.", "x"], "1"),
                  swag("Empty", "  One sentence. ", "", ["a", "b b", "c c c", "d d d d"], "2"),
                  swag("Odd [x", "not closed [ here\nand ] there", "\u00e9COLE du Monde", ["a]", "[b", "c[d]e", "f [g\nh] i"], "3"),
                  swag(" Label ", "A", "\u01c6UNGLA \u0130 and \u00c9", ["a", "b", "c", "d"], "0"), swag("Run", "He", "1ST place", ["a", "b", "c", "d"], "3")],
}


os.makedirs(os.path.join(OUT, "benchmarks"), exist_ok=True)
shared = {}
with open(os.path.join(OUT, "harness_pairs.jsonl"), "w") as f:
    for task in FILES:
        c = config(task)
        with open(os.path.join(OUT, "benchmarks", task + ".jsonl"), "w") as g:
            g.writelines(json.dumps(r) + "\n" for r in odd[task])
        for i, row in enumerate(odd[task]):
            f.write(json.dumps({"task": task, "index": i, "pairs": pairs(task, c, row)}) + "\n")
        if len(sys.argv) > 2:
            h = hashlib.sha256()
            for line in open(os.path.join(sys.argv[2], task + ".jsonl")):
                for a, b in pairs(task, c, json.loads(line)):
                    h.update((a + "\0" + b + "\0").encode())
            shared[task] = h.hexdigest()
if shared:
    json.dump(shared, open(os.path.join(OUT, "harness_pairs.json"), "w"), indent=1)
