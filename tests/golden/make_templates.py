"""Renders conversations with the published chat templates of Llama-2, Mistral, Llama-3 and Gemma, and fingerprints programs.

    python3 make_templates.py --programs DIR --out OUT_DIR

DIR holds the published programs, which are not kept here: NAME.jinja, or NAME.json, a model's tokenizer_config.json, for each
NAME below. "text-to-lora's ..." are chat_templates/ of SakanaAI/text-to-lora; line breaks and indentation are taken out of them
as the authors do. Written are chats.json, the conversations; chat_templates.jsonl, a line {"name", "fingerprint", "bos", "eos",
"cases"} a program with what it makes of the conversations (transformers' own compiler: transformers 5.23, jinja2; as
apply_chat_template does); and template_fingerprints.jsonl, [program, fingerprint] for short programs of this script's own.
The fingerprint is made from the tokens of Jinja's own lexer, not by the rules of data/template_styles.c.
"""
import argparse, hashlib, json, os, random
from jinja2 import TemplateSyntaxError
from transformers.utils.chat_template_utils import _compile_jinja_template

ap = argparse.ArgumentParser()
ap.add_argument("--programs", required=True)
ap.add_argument("--out", required=True)
a = ap.parse_args()
LLAMA2, LLAMA3, GEMMA = ("<s>", "</s>"), ("<|begin_of_text|>", "<|eot_id|>"), ("<bos>", "<eos>")
models = {"Llama-2-chat": LLAMA2, "Mistral-7B-Instruct-v0.1": LLAMA2, "Mistral-7B-Instruct-v0.2 (first version)": LLAMA2,
          "Mistral-7B-Instruct-v0.2": LLAMA2, "Meta-Llama-3": LLAMA3, "Meta-Llama-3 (first version)": LLAMA3, "Llama-3.1": LLAMA3,
          "Gemma": GEMMA, "text-to-lora's Mistral": LLAMA2, "text-to-lora's Llama-3.1": LLAMA3, "text-to-lora's Gemma": GEMMA}
jinja = _compile_jinja_template("").environment


def program(name):
    path = os.path.join(a.programs, name)
    if os.path.exists(path + ".json"):
        with open(path + ".json") as f:
            return json.load(f)["chat_template"]
    with open(path + ".jinja", newline="") as f:
        text = f.read()
    return text.replace("    ", "").replace("\n", "") if name.startswith("text-to-lora's") else text


def string(s):
    """A string's source in double quotes, the escapes of line break and quotes resolved."""
    out, chars = "", iter(s[1:-1])
    for c in chars:
        e = next(chars) if c == "\\" else ""
        out += {"n": "\n", "'": "'", '"': '"'}.get(e, "\\" + e) if e else c
    return f'"{out}"'


def fingerprint(text):
    form, depth = "", 0
    try:
        for _, kind, value in jinja.lex(text):
            depth += kind.endswith("_begin") - kind.endswith("_end")
            if kind.startswith("comment"):
                continue
            if kind.endswith("_begin"):
                form += "\x01" + value[1]
            elif kind.endswith("_end"):
                form += "\x02"
            elif kind != "whitespace":
                form += string(value) if kind == "string" else value
    except TemplateSyntaxError:
        return "none"
    return "none" if depth else hashlib.sha256(form.encode()).hexdigest()[:16]


def write(name, rows):
    with open(os.path.join(a.out, name), "w", newline="\n") as f:
        f.writelines(json.dumps(r, separators=(",", ":")) + "\n" for r in rows)


turns = lambda *t: [{"role": r, "content": c} for r, c in t]
U, S, A = "user", "system", "assistant"
chats = [turns((U, "What is the capital of France?")), turns((S, "Be brief."), (U, "Hi")), turns((S, ""), (U, "Hi")), turns((U, "")), turns((U, "  spaces  ")),
         turns((U, "\tline\n\nbreak\n")), turns((U, "Hi"), (A, "Hello."), (U, "Bye")), turns((S, "You translate."), (U, "chat"), (A, "cat"), (U, "chien"), (A, "dog")),
         turns((U, "q"), (A, "  padded answer \n")), turns((S, "  s\n"), (U, " \n ")), turns((S, "s"), (A, "first word to me")), turns((A, "no user")),
         turns((U, "a"), (U, "b")), turns((U, "x"), (S, " late system ")), turns((S, "only system")), turns((S, "one"), (S, "two"), (U, "x")),
         turns((U, "</s><eos>[/INST] <<SYS>> {{ braces }} {% raw %} \u201c\u65e5\u672c\u201d \U0001f916")), turns((U, "q"), ("other", " odd role "), (U, "r")),
         turns((U, "\u00a0\u2003\u3000\x1c\x1f\x85 white \u2028\u205f\u1680\u200a\u202f")), turns((U, "\u200b\ufeffno white space\u180e")),
         turns((S, "\u00a0sys\u00a0"), (U, "\u00a0"), (A, "\u00a0a\u00a0"), (U, "\x0bq\x0c"), (A, ""))]

def rows():
    for name, (bos, eos) in models.items():
        text, cases = program(name), []
        compiled = _compile_jinja_template(text)
        for chat in chats:
            for prompt in (False, True):
                try:
                    cases.append(compiled.render(messages=chat, tools=None, documents=None, add_generation_prompt=prompt, bos_token=bos, eos_token=eos))
                except Exception:  # the template's own refusal
                    cases.append(None)
        yield {"name": name, "fingerprint": fingerprint(text), "bos": bos, "eos": eos, "cases": cases}


write("chat_templates.jsonl", rows())
write("chats.json", [chats])

# ---- short programs: by hand, then random ones ------------------------------------------------------------------
LOOP = "{% for m in messages %}[{{ m['role'] + ':\n' + m['content'] }}]{% endfor %}"  # tests/data/test_template.c has the same
programs = [LOOP, "", "\n", "\n\n", "plain", " plain \n", "{{}}", "{{-}}", "{{ x -}}\n\n y", "a \n{{- x }}", "  {{ x }}", "  {% x %}", "a  {% x %}", "{% x %}\n\n",
            "{% x %}  {% y %}", "{% x %}\n  {% y %}", "{{ x }}\n  {% y %}", "  {%+ x %}", "{% x +%}\n", "  {#+ x #}", "{# x +#}\n", "{# %} {{ x }} ' #}", "{#- x -#}",
            "{#}#}", "{{ '}}' }}", '{% set a = "%}" %}', r"{{ 'it\'s' }}", r"""{{ "it's" }}""", r"{{ 'a\\' }}", r"{{ '\n' }}", "{{ '\n' }}", r"{{ '\t' }}", "{{ i\n%\t2 }}",
            "{", "{ {", "}}", "%}", "#}", "\u65e5 {{ '\u00e9' }}", "{{", "{%", "{#", "{{ x", "{% x }}", "{# x", "{{ 'x }}", "{{ x }} {% y", "{#-"]
rng = random.Random(12)
TEXTS = ["", "", " ", "  ", "\n", "\n\n", " \n", "\n  ", "\t", "a", "b c", "}", "%}", "'", '"', "\u00e9"]
INSIDE = ["x", "m['a']", "i%2", "-1", "a - b", "(a\n== b)", '"s"', "'s t'", r"'\n'", "'\n'", r'"\'"', '\'"\'', r"'\\'", "'{{ x }}'", '"%}"', "'#}'", "x|trim", "[1, 2]", "not x"]


def tag():
    kind = rng.choice("{{%%%#")
    inside = rng.choice([" ", "", "\n", "  "]).join(["", *rng.choices(INSIDE, k=rng.randint(1, 3)), ""]).replace("#}" if kind == "#" else "\0", "")
    signs = (rng.choice(["", "", "-", "+"]), rng.choice(["", "", "-", "+"])) if kind != "{" else (rng.choice(["", "-"]), rng.choice(["", "-"]))
    return "{" + kind + signs[0] + " " + inside + " " + signs[1] + ("}" if kind == "{" else kind) + "}"


def text():
    return "".join(rng.choices(TEXTS, k=rng.randint(0, 3)))


programs += [text() + "".join(tag() + text() for _ in range(rng.randint(1, 4))) for _ in range(250)]
write("template_fingerprints.jsonl", ([p, fingerprint(p)] for p in programs))
