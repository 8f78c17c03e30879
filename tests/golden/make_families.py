"""Tiny random Mistral, Llama-3, Qwen2 and Gemma 2: logits, gradients of LoRA adapters, greedy continuations, log-likelihoods.

    python3 make_families.py OUT_DIR     (writes OUT_DIR/families/: <name>/ model folders, <name>.gguf, <name>.safetensors, tokenizer.json)

Parameters are float16 numbers; the arithmetic (twin.llama) is float64. transformers in float32 is run beside it as a check: logits with
every adapter merged, and the greedy continuation with its own key/value cache. The GGUF files are read back by transformers' GGUF loader
and give the folder's weights. Windows are shorter than the sequences, caps low enough to bend, head sizes unlike width / heads.
Made with torch 2.15.0, transformers 5.24.0, safetensors 0.8.0, gguf 0.19.0.
"""
import json, math, os, sys
import numpy as np
import torch
from gguf import GGUFWriter, GGMLQuantizationType
from transformers import AutoConfig, AutoModelForCausalLM
from store import save_file
from twin import llama, response_loss, rope_divisors

torch.set_num_threads(1)
out_dir = os.path.join(sys.argv[1], "families")
common = {"vocab_size": 263, "bos_token_id": 256, "eos_token_id": 258, "max_position_embeddings": 128, "torch_dtype": "float16"}
families = {
    "mistral": {"architectures": ["MistralForCausalLM"], "hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 3, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 12, "rms_norm_eps": 1e-5, "sliding_window": 5, "hidden_act": "silu", "tie_word_embeddings": False,
                "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 1e4}},
    "llama3": {"architectures": ["LlamaForCausalLM"], "hidden_size": 40, "intermediate_size": 60, "num_hidden_layers": 2, "num_attention_heads": 5,
               "num_key_value_heads": 1, "head_dim": 16, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "rope_theta": 500.0,
               "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"], "hidden_size": 48, "intermediate_size": 44, "num_hidden_layers": 3, "num_attention_heads": 4,
              "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True, "use_sliding_window": True,
              "sliding_window": 6, "max_window_layers": 1, "rope_theta": 1e5},
    "gemma2": {"architectures": ["Gemma2ForCausalLM"], "hidden_size": 36, "intermediate_size": 52, "num_hidden_layers": 3, "num_attention_heads": 4,
               "num_key_value_heads": 2, "head_dim": 24, "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
               "sliding_window": 5, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0, "rope_theta": 1e4},
}
rank, scale, smoothing, cu, responses, owner = 2, 16 / math.sqrt(8), 0.1, [0, 5, 28, 42], [2, 9, 6], [0, 1, 0]
seqs, columns, n_prompt, n_greedy = list(zip(cu, cu[1:])), slice(0, 263, 5), 12, 20
score = ("In the beginning was the word.", " And the word was short.")       # bytes are ids: the tokenizer has no merges


def model_of(config, state):
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("lm_head" in m for m in missing), (missing, unexpected)
    return model


def write_gguf(path, arch, c, cfg, weights):
    """As convert_hf_to_gguf does: names, metadata, permuted rows of q and k of arch llama, gemma2's norms plus one, rope_freqs."""
    g = GGUFWriter(path, arch)
    g.add_block_count(cfg.num_hidden_layers), g.add_context_length(cfg.max_position_embeddings), g.add_embedding_length(cfg.hidden_size)
    g.add_feed_forward_length(cfg.intermediate_size), g.add_head_count(cfg.num_attention_heads), g.add_head_count_kv(cfg.num_key_value_heads)
    g.add_layer_norm_rms_eps(cfg.rms_norm_eps), g.add_rope_freq_base(cfg.rope_parameters["rope_theta"]), g.add_vocab_size(cfg.vocab_size)
    g.add_bos_token_id(256), g.add_eos_token_id(258)
    hd = getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads
    g.add_key_length(hd), g.add_value_length(hd), g.add_rope_dimension_count(hd)
    if arch == "gemma2":
        g.add_attn_logit_softcapping(cfg.attn_logit_softcapping), g.add_final_logit_softcapping(cfg.final_logit_softcapping), g.add_sliding_window(cfg.sliding_window)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm"}
    names |= {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"} if arch == "gemma2" else {
        "post_attention_layernorm": "ffn_norm"}
    if cfg.rope_parameters["rope_type"] == "llama3":
        g.add_tensor("rope_freqs.weight", rope_divisors(hd // 2, cfg.rope_parameters).float().numpy())
    for name, w in weights.items():
        if arch == "llama" and ("q_proj" in name or "k_proj" in name):
            w = w.view(-1, 2, hd // 2, w.shape[1]).transpose(1, 2).reshape(w.shape)
        if name.startswith("model.layers."):
            _, _, layer, rest = name.split(".", 3)
            module, kind = rest.rsplit(".", 1)
            to = f"blk.{layer}.{names[module]}.{kind}"
        else:
            to = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}[name]
        g.add_tensor(to, w.half().numpy() if w.ndim == 2 else (w + 1 if arch == "gemma2" and "norm" in name else w).numpy())
    g.write_header_to_file(), g.write_kv_data_to_file(), g.write_tensors_to_file(), g.close()


def make(name, c, seed):
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape, std=1.0, mean=0.0: (torch.randn(shape, generator=g) * std + mean).half().float()
    where = os.path.join(out_dir, name)
    os.makedirs(where, exist_ok=True)
    config_json = {"model_type": name.rstrip("3")} | c | common
    with open(os.path.join(where, "config.json"), "w", newline="\n") as f:
        f.write(json.dumps(config_json, indent=2) + "\n")
    cfg = AutoConfig.from_pretrained(where)
    gemma = name == "gemma2"
    shapes = {k: tuple(p.shape) for k, p in sorted(AutoModelForCausalLM.from_config(cfg).named_parameters())}
    weights = {}
    for k, s in shapes.items():
        if "norm" in k:
            weights[k] = normal(*s, std=0.3, mean=0.0 if gemma else 1.0)
        elif k.endswith("bias"):
            weights[k] = normal(*s, std=0.5)
        else:
            weights[k] = normal(*s, std=(0.05 if gemma else 0.2) if "embed" in k else 1.2 / math.sqrt(s[1]))
    save_file({k: v.half() for k, v in weights.items()}, os.path.join(where, "model.safetensors"), metadata={"format": "pt"})
    cfg.head_dim = getattr(cfg, "head_dim", None) or cfg.hidden_size // cfg.num_attention_heads

    ids = torch.randint(0, 256, (cu[-1],), generator=g)
    labels = torch.full_like(ids, -100)
    for end, n in zip(cu[1:], responses):
        labels[end - n - 1:end - 1] = ids[end - n:end]
    modules = [n[:-len(".weight")].split(".")[-1] for n in weights if n.startswith("model.layers.0.") and "_proj.weight" in n]
    dims = {m: weights[next(k for k in weights if k.endswith(f"{m}.weight"))].shape for m in modules}
    lora = {(a, l, m): ((torch.randn(rank, dims[m][1], generator=g) * 0.3).float(), (torch.randn(dims[m][0], rank, generator=g) * 0.08).float())
            for a in range(2) for l in range(cfg.num_hidden_layers) for m in sorted(modules)}
    w64 = {k: v.double() for k, v in weights.items()}
    p = {k: tuple(x.double().requires_grad_() for x in ab) for k, ab in lora.items()}
    of = lambda a: {(l, m): ab for (t, l, m), ab in p.items() if t == a}
    logits = [llama(w64, cfg, ids[b:e], of(owner[s]), scale) for s, (b, e) in enumerate(seqs)]
    losses = torch.stack([response_loss(x, labels[b:e], smoothing) for x, (b, e) in zip(logits, seqs)])
    losses.mean().backward()
    for a in range(2):                                                       # transformers, adapters merged
        state = {k: v.double() for k, v in weights.items()}
        for (t, l, m), (A, B) in lora.items():
            if t == a:
                key = next(k for k in state if k.startswith(f"model.layers.{l}.") and k.endswith(f"{m}.weight"))
                state[key] = state[key] + scale * B.double() @ A.double()
        model = model_of(cfg, {k: v.float() for k, v in state.items()})
        for s, (b, e) in enumerate(seqs):
            if owner[s] == a:
                with torch.no_grad():
                    error = (model(ids[b:e][None]).logits[0].double() - logits[s].detach()).abs().max().item()
                print(f"{name} sequence {s}: largest difference from transformers float32 {error:.1e}, logits up to {logits[s].abs().max():.1f}")
                assert error < 2e-4
    base = model_of(cfg, weights)
    prompt = ids[cu[1]:cu[1] + n_prompt]
    chain = base.generate(prompt[None], max_new_tokens=n_greedy, min_new_tokens=n_greedy, do_sample=False, eos_token_id=None, pad_token_id=0)[0]
    with torch.no_grad():
        whole = llama(w64, cfg, chain)
        text = torch.tensor(list((score[0] + score[1]).encode()))
        logp = llama(w64, cfg, text).log_softmax(-1)
    top = whole[n_prompt - 1:-1].topk(2, dim=-1)
    gap = (top.values[:, 0] - top.values[:, 1]).min().item()
    assert torch.equal(top.indices[:, 0], chain[n_prompt:]) and gap > 1e-3, gap
    print(f"{name}: greedy {chain[n_prompt:].tolist()}, smallest gap {gap:.3f}")
    n = len(score[0].encode())
    out = {"input.ids": ids, "input.labels": labels, "logits": torch.cat(logits).detach()[:, columns].contiguous(), "losses": losses.detach(),
           "greedy.prompt": prompt.clone(), "greedy": chain[n_prompt:].clone(),
           "score": logp[n - 1:-1].gather(1, text[n:, None]).sum().reshape(1)}
    for (a, l, m), ab in p.items():
        for f, x, y in zip("AB", lora[a, l, m], ab):
            out |= {f"lora.{a}.{l}.{m}.{f}": x, f"grad.{a}.{l}.{m}.{f}": y.grad.float()}
    save_file(out, os.path.join(out_dir, name + ".safetensors"), metadata={"context": score[0], "continuation": score[1], "scale": repr(scale)})
    if name != "mistral":
        arch = "llama" if name == "llama3" else name
        path = os.path.join(out_dir, name + ".gguf")
        write_gguf(path, arch, c, cfg, weights)
        check_gguf(name, path, weights)


def check_gguf(name, path, weights):
    """transformers' own reader of GGUF: its weights are the folder's."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
    read = load_gguf_checkpoint(path, return_tensors=True, model_to_load=AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(os.path.join(out_dir, name))))
    got = {k: torch.as_tensor(np.array(v)).float() for k, v in read["tensors"].items()}
    for k, v in weights.items():
        assert k in got and torch.allclose(got[k], v, atol=1e-6), k
    print(f"{name}.gguf: {len(weights)} tensors as transformers reads them")


def write_tokenizer(path):
    """Byte-level, no merges: a text's ids are its bytes. ChatML's special tokens follow."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    char = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|reserved_{i}|>" for i in range(4))]
    t = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
         "added_tokens": [{"id": 256 + i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, s in enumerate(special)],
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
         "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
         "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                   "vocab": {char[b]: b for b in range(256)} | {s: 256 + i for i, s in enumerate(special)}, "merges": []}}
    with open(path, "w", newline="\n") as f:
        f.write(json.dumps(t, separators=(",", ":")) + "\n")


os.makedirs(out_dir, exist_ok=True)
write_tokenizer(os.path.join(out_dir, "tokenizer.json"))
for i, (name, c) in enumerate(families.items()):
    make(name, c, 101 + i)
