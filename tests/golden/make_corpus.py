"""Writes corpus.jsonl: texts that are hard on a tokenizer, one JSON string a line (ASCII with \\u escapes).

    python3 make_corpus.py OUT_DIR

Own content, seeded, standard library only (Python 3.11, Unicode 14). U+0000 is left out: C strings end
there; nul.jsonl (make_tokenizer.py) has those cases.
"""
import json, os, random, sys, unicodedata

rng = random.Random(20240607)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<repo_name>",
           "<file_sep>", "<|im_start|", "<|im_end", "im_end|>", "[cls]", "[ SEP ]", "##ing", "<|IM_END|>"]
SPACE = [" ", "  ", "   ", " " * 7, " " * 33, "\t", "\t\t", "\n", "\n\n", "\n \n", "\r\n", "\r", "\r\n\r\n", "\v", "\f", "\x85", "\xa0",
         "\xa0\xa0", "\u1680", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", " \t ", "\n    ", "\n\t"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u200f", "\u202a", "\u202c", "\u2066", "\u034f",
             "\u061c", "\u180e", "\ufe0f", "\ufe0e", "\ufffd", "\uffff", "\ue000", "\U000e0001", "\U0010ffff", "\U000f0000"]
CONTROL = [chr(c) for c in (*range(1, 32), *range(127, 160))]
EMOJI = ["😀", "🤖", "👍🏽", "👩‍👩‍👧‍👦", "👨🏿‍🚀", "🏳️‍🌈", "🏴‍☠️", "🇫🇷", "🇯🇵🇧🇷", "🇺", "❤️", "❤", "1️⃣", "#️⃣", "☎︎", "🧑‍💻", "🫠", "🐈‍⬛",
         "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "✈️", "©️", "™", "👩🏻‍❤️‍💋‍👨🏾"]
DIGITS = ["0", "7", "42", "1234567890", "3.14159", "1,000,000", "1e-9", "0x7fFF", "²", "x³+y₂", "¼", "½cup", "Ⅻ", "ⅷ", "①②", "⑴", "٠١٢٣", "۴۵۶",
          "०१२", "๓๔", "０１２", "𝟘𝟙𝟚", "一二三", "〇", "㊿", "𐄇", "12٣4", "a1b2", "v1.2.3-rc4", "2024-05-17T08:30:00Z", "5G", "β2", "H₂O", "E=mc²", "10⁻³"]
WORDS = ["language", "adapter", "Kraków", "naïve", "façade", "Ångström", "ÉCOLE", "straße", "STRASSE", "İstanbul", "ıçin", "ǅ", "ﬁnal", "œuvre", "don't",
         "I'LL", "they've", "she'd", "we're", "O'Brien's", "'s", "'t", "it’s", "l'été", "rock'n'roll", "can't've", "'M", "'ll", "y'all'd", "A.I.", "U.S.A.", "co-op",
         "re-entry", "snake_case", "camelCase", "HTTPServer2", "foo::bar", "a/b", "e-mail@example.org", "https://example.org/a?b=c&d=%20e#f", "C++", "C#", ".NET", "#tag", "@user",
         "Zürich", "smörgåsbord", "Ελλάδα", "ΣΊΣΥΦΟΣ", "Привет", "Ёлка", "Київ", "Հայերեն", "ქართული", "ᏣᎳᎩ", "አማርኛ", "ภาษาไทย", "ลาวລາວ", "မြန်မာ", "ខ្មែរ", "བོད་ཡིག",
         "日本語", "東京タワー", "ひらがな", "カタカナ", "ｶﾀｶﾅ", "한국어", "각", "中文", "繁體字", "𠀀𠀁", "𫠠", "豈", "العربية", "مَرْحَبًا", "فارسی", "שָׁלוֹם", "עברית", "हिन्दी", "नमस्ते", "বাংলা", "தமிழ்", "ಕನ್ನಡ",
         "e\u0301", "a\u0300\u0323", "Z̷̛͎a̸l̶g̵o̷", "ñ", "n\u0303", "Å", "𝒜𝓁𝓅𝒽𝒶", "ℕ", "Ⓐ", "ꜳ", "ﷺ", "ㄅㄆ", "𓀀", "𒀀", "𐍈", "Việt Nam", "Ø", "đ", "ł", "þ"]
PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "…", "—", "–", "«", "»", "„", "“", "”", "‘", "’", "¿", "¡", "、", "。", "「", "」", "！", "，", "・", "،", "؟", "।",
         "->", "=>", "!=", "&&", "||", ":=", "**", "//", "/*", "*/", "```", "'''", "$$", "§", "¶", "†", "‰", "€", "£", "¥", "₿", "°", "±", "×", "÷", "¬", "¦", "«»", "--", "___", "\\n", "^", "¨", "´", "˜"]
MATH = ["∀x∈ℝ: x²≥0", "∑_{i=1}^{n} i = n(n+1)/2", "∫₀^∞ e^{-x²} dx = √π/2", "∂f/∂x ≈ Δf/Δx", "A ⊆ B ⇔ A∩B = A", "$\\frac{a}{b} \\leq \\alpha$", "‖v‖₂ ≤ ε", "p → (q ∧ ¬r)", "f∘g ≠ g∘f", "|ψ⟩⟨φ|"]
PROSE = ["The lighthouse keeper counted ninety-nine steps, then sat down and laughed.", "Nobody had told the river that it was supposed to freeze in November.",
         "\"Are you sure?\" she asked; he wasn't, but he'd already signed.", "Prices rose by 3.5% in 2023 (from $1,204.50 to $1,246.66), didn't they?",
         "Cats, dogs & parrots: which one's the loudest?", "Le cœur a ses raisons, où l'été s'achève déjà.", "Füße größer als 45 müssen draußen bleiben!", "¿Quién dejó el balcón abierto? ¡Qué frío!",
         "Ночью поезд шёл медленно, и снег не кончался.", "Η θάλασσα ήταν ήρεμη σήμερα.", "昨日は雨でしたが、今日は晴れています。", "我们在山顶等日出，风很大。", "오늘은 날씨가 참 좋네요!", "วันนี้ฝนตกหนักมากจนถนนลื่น",
         "القطار يصل الساعة ٨:٤٥ صباحًا.", "הרכבת יוצאת בשעה 8:45 מתל אביב.", "आज बाज़ार में बहुत भीड़ थी।", "Bạn có thể giúp tôi dịch câu này không?", "Yarın İzmir'e gidiyoruz, sen de gel.", "Wczoraj żółw zjadł całą sałatę."]
CODE = ["def f(x: int) -> str:\n    \"\"\"Doc.\"\"\"\n    return f\"{x!r:>10}\"  # ok\n", "for (size_t i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}\n", "#include <stdio.h>\r\nint main(void) { printf(\"%d\\n\", 0x1F); return 0; }\r\n",
        "fn main() { let v: Vec<u8> = vec![1, 2, 3]; println!(\"{:?}\", v.iter().map(|x| x << 1)); }", "SELECT id, COUNT(*) FROM t WHERE name LIKE '%o''b%' GROUP BY 1 HAVING n >= 10;", "const g = async ({a, b = 2}) => (await fetch(`/api/${a}?q=${b}`)).json();",
        "<div class=\"a b\" data-x='1'>&nbsp;&#x1F600;<br/></div>\n<!-- note -->", "{\"k\": [1, 2.5e-3, null, true], \"\\u00e9\": \"x\\ty\"}", "if [[ -f \"$HOME/.rc\" && $# -gt 1 ]]; then\n  awk '{print $2}' < in | sort -u > out\nfi",
        "public static <T extends Comparable<T>> T max(List<? extends T> xs) { return null; }", "main :: IO ()\nmain = mapM_ print [x^2 | x <- [1..10], odd x]", "\\begin{align}\n  e^{i\\pi} + 1 &= 0 \\\\\n\\end{align}", "a:\n  - b: 1\n    c: [x, 'y z']\n# end\n", "LDR r0, [sp, #-0x10]! ; load\n",
        "func (s *S) Get(k string) (v any, ok bool) {\n\tv, ok = s.m[k]\n\treturn\n}", "| a | b |\n|---|:-:|\n| 1 | **2** |\n", "@media (max-width: 600px) { .x > p::before { content: \"\\201C\"; } }", "x <- c(1, NA, 3); mean(x, na.rm=TRUE) %>% print()", "assert_eq!(0b1010_1010u8.rotate_left(3), 85);", "(defun sq (x) (* x x)) ; λ"]
CHAT = ["<|im_start|>user\nHow many legs has a spider?<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n", "[CLS] first [SEP] second [SEP]", "text<|endoftext|>text <|endoftext|> text"]
POOLS = [SPECIAL, SPACE, SPACE, INVISIBLE, CONTROL, EMOJI, DIGITS, DIGITS, WORDS, WORDS, WORDS, PUNCT, PUNCT, MATH, PROSE, CODE]
BLOCKS = [(0x20, 0x7e), (0xa0, 0x17f), (0x180, 0x24f), (0x250, 0x36f), (0x370, 0x52f), (0x530, 0x6ff), (0x900, 0xdff), (0xe00, 0x0fff), (0x1000, 0x18af), (0x1e00, 0x1fff),
          (0x2000, 0x24ff), (0x2500, 0x2bff), (0x2c00, 0x2fff), (0x3000, 0x33ff), (0x3400, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7a3), (0xf900, 0xffee), (0x10000, 0x1083f), (0x1d100, 0x1d7ff), (0x1f000, 0x1faff), (0x20000, 0x2fa1d)]

def char():
    while True:
        c = chr(rng.randint(*rng.choice(BLOCKS)))
        if unicodedata.category(c) not in ("Cn", "Cs"):
            return c

def pick(pools, joins, least, most):
    return "".join(rng.choice(rng.choice(pools)) + rng.choice(joins) for _ in range(rng.randint(least, most)))

lines = [""] + PROSE + CODE + CHAT + MATH + WORDS + DIGITS + PUNCT + EMOJI + SPACE + INVISIBLE + CONTROL + SPECIAL
for s in SPECIAL:                                              # special tokens glued, spaced, doubled, in other cases
    lines += [f"a{s}b", f"a {s} b", f"a  {s}  b", s + s, f"{s}\n", f" {s}", f"{s} ", f"\t{s}\t", f"é{s}é", f"1{s}2", s[:-1], s[1:], s.swapcase(), f"don't{s}'ll"]
for s in SPACE:                                                # white space before, between and after
    lines += [f"a{s}b", f"{s}a", f"a{s}", f"1{s}2", f"!{s}?", f"a {s}b", f"a{s} b", s + s, f"日{s}本"]
for s in INVISIBLE + CONTROL:
    lines += [f"a{s}b", f"a {s} b", s + s]
lines += [w * k for w, k in (("a", 99), ("a", 100), ("a", 101), ("Ab9", 60), ("é", 100), ("é", 101), ("e\u0301", 101), ("ß", 120), ("-", 150), (" ", 150), ("\n", 70), ("12", 60), ("字", 60), ("👍", 40), ("xyz_", 50), ("antidis", 30))]
lines += [a + b for a in ("I", "WE", "é", "9", " ", "!") for b in ("'s", "'S", "'ll", "'re", "'d", "'x", "'", "''s", "’s", " 's")]
while len(lines) < 1650:
    lines.append(pick(POOLS, ("", "", " ", " "), 1, 7))
while len(lines) < 1950:
    lines.append(pick((WORDS, PUNCT, DIGITS), ("", " ", "", "\n"), 4, 14))
while len(lines) < 2250:
    lines.append("".join(rng.choice((char, char, char, lambda: rng.choice(SPACE), lambda: rng.choice(WORDS)))() for _ in range(rng.randint(1, 16))))
while len(lines) < 2400:
    lines.append(pick((SPECIAL, PROSE, SPACE, CHAT, EMOJI), ("", " "), 2, 4))
with open(os.path.join(sys.argv[1], "corpus.jsonl"), "w", newline="\n") as f:
    f.writelines(json.dumps(s) + "\n" for s in lines)
