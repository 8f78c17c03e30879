"""Plain PyTorch of what t2l computes, for the scripts of this folder: hypernetwork, decoders, text encoder, losses. Any dtype, no dropout.

Parameter names are those of the golden files (hypernet) and of Hugging Face (Llama). Written from method.md section 3 and
the Llama papers; make_hypernet.py checks `hypernet` against the outputs of the authors' class, make_llm_tiny.py `llama`
against transformers.
"""
import math
import torch
import torch.nn.functional as F


def hypernet(p, e, kind, shapes, layers, rank, task=None):
    """p: name -> tensor; e [T,E]; shapes: module -> (in, out).  -> module -> (A [T,L,r,in], B [T,L,out,r])
    task [T,C]: instead of e, what another task encoder made of it; layers and modules without embeddings are unit vectors"""
    linear = lambda x, n: F.linear(x, p[n + ".weight"], p.get(n + ".bias"))
    norm = lambda x, n: F.layer_norm(x, x.shape[-1:], p[n + ".weight"], p[n + ".bias"])
    mlp = lambda x, n, i=1: F.silu(linear(F.silu(linear(x, f"{n}.{i}")), f"{n}.{i + 3}"))
    residual = lambda x, n: x + mlp(norm(x, f"{n}.mlp.0"), f"{n}.mlp")
    head = lambda x, m: linear(mlp(norm(x, "mlp3.0"), "mlp3"), "heads." + m)
    out = {}
    if task is None:
        task = norm(linear(e, "task_encoder.mlp.0"), "task_encoder.mlp.1")
    T, place = len(task), lambda n, k: norm(p[n + ".0.weight"], n + ".1") if n + ".0.weight" in p else torch.eye(k, dtype=task.dtype)
    depth, types = place("layer_depth_encoder", layers), place("layer_type_encoder", len(shapes))
    for k, (m, (n_in, n_out)) in enumerate(shapes.items()):
        x = torch.cat([task[:, None].expand(-1, layers, -1), depth.expand(T, -1, -1), types[k].expand(T, layers, -1)], -1)
        u = residual(mlp(x, "mixer"), "mlp1")
        if kind == "L":
            z = head(residual(u, "mlp2"), m)
            A, B = z[..., :rank * n_in].unflatten(-1, (rank, n_in)), z[..., rank * n_in:].unflatten(-1, (rank, n_out))
        else:
            A, B = (_factor(p, residual(u + norm(p[f"out_emb.{m}.{f}"], "out_emb_norm"), "mlp2"), kind, rank, residual, norm, lambda v: head(v, m))[..., :n]
                    for f, n in (("A", n_in), ("B", n_out)))
        out[m] = A, B.transpose(-1, -2)
    return out


def _factor(p, w, kind, rank, residual, norm, head):
    """w [T,L,D] -> [T,L,r,max(in,out)]"""
    if kind == "M":
        return head(w).unflatten(-1, (rank, -1))
    w = w[..., None, :].expand(*w.shape[:-1], rank, -1)
    if "pos_emb.0.weight" in p:
        w = w + residual(norm(p["pos_emb.0.weight"], "pos_emb.1"), "mlp2")
        return head(w)
    return head(residual(rotate(w, torch.arange(rank), frequencies(w.shape[-1] // 2, 10000.0, torch.float32), torch.float32), "mlp2"))


def rotate(x, positions, inv_freq, table=torch.float64):
    """Rotary positions, half-split layout: x [...,T,D], positions [T]; cos and sin are tabled in `table` precision."""
    half = x.shape[-1] // 2
    angle = positions[:, None] * inv_freq.to(table)
    cos, sin = angle.cos().to(x), angle.sin().to(x)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def frequencies(half, theta, table=torch.float64):
    return 1.0 / theta ** (torch.arange(half, dtype=table) / half)


def rope_divisors(half, rope):
    """By how much Llama-3's or linear scaling slows each frequency down. rope: rope_parameters of transformers"""
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return torch.ones(half, dtype=torch.float64)
    if kind == "linear":
        return torch.full((half,), rope["factor"], dtype=torch.float64)
    turns = rope["original_max_position_embeddings"] * frequencies(half, rope["rope_theta"]) / (2 * math.pi)
    keep = ((turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])).clamp(0, 1)
    return 1.0 / (keep + (1 - keep) / rope["factor"])


def windows(cfg):
    """Keys that a query of each layer sees; 0: all."""
    n, window = cfg.num_hidden_layers, getattr(cfg, "sliding_window", None) or 0
    types = getattr(cfg, "layer_types", None)
    if cfg.model_type == "mistral":
        return [window] * n
    return [window if t == "sliding_attention" else 0 for t in types] if types else [0] * n


def llama(w, cfg, ids, lora=None, scale=1.0):
    """Logits [T,vocab] of one sequence: llama, mistral, qwen2 (biases of q, k, v), gemma2. lora: (layer, module) -> (A [r,in], B [out,r])"""
    gemma = cfg.model_type == "gemma2"

    def proj(x, l, group, m):
        n = f"model.layers.{l}.{group}.{m}."
        y = x @ w[n + "weight"].T
        if n + "bias" in w:
            y = y + w[n + "bias"]
        if lora and (l, m) in lora:
            A, B = lora[l, m]
            y = y + scale * (x @ A.T @ B.T)
        return y

    rms = lambda x, n: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + cfg.rms_norm_eps) * (w[n] + 1 if gemma else w[n])
    cap = lambda x, c: c * (x / c).tanh() if c else x
    act = (lambda x: F.gelu(x, approximate="tanh")) if gemma else F.silu
    after = (lambda x, n: rms(x, n)) if gemma else (lambda x, n: x)
    heads, kv, hd, T = cfg.num_attention_heads, cfg.num_key_value_heads, cfg.head_dim, len(ids)
    pos = torch.arange(T)
    inv_freq = frequencies(hd // 2, cfg.rope_parameters["rope_theta"]) / rope_divisors(hd // 2, cfg.rope_parameters)
    x = w["model.embed_tokens.weight"][ids]
    if gemma:
        x = x * math.sqrt(cfg.hidden_size)
    for l, window in enumerate(windows(cfg)):
        n = f"model.layers.{l}."
        mask = torch.full((T, T), -math.inf, dtype=torch.float64).triu(1)
        if window:
            mask = mask.masked_fill(pos[:, None] - pos[None] >= window, -math.inf)
        h = rms(x, n + "input_layernorm.weight")
        q, k, v = (proj(h, l, "self_attn", m).view(T, -1, hd).transpose(0, 1) for m in ("q_proj", "k_proj", "v_proj"))
        q, k = (rotate(t, pos, inv_freq) for t in (q, k))
        k, v = (t.repeat_interleave(heads // kv, 0) for t in (k, v))
        scores = (q @ k.transpose(1, 2)) / math.sqrt(getattr(cfg, "query_pre_attn_scalar", hd))
        att = (cap(scores, getattr(cfg, "attn_logit_softcapping", None)) + mask.to(q.dtype)).softmax(-1) @ v
        x = x + after(proj(att.transpose(0, 1).reshape(T, -1), l, "self_attn", "o_proj"), n + "post_attention_layernorm.weight")
        h = rms(x, n + ("pre_feedforward_layernorm.weight" if gemma else "post_attention_layernorm.weight"))
        x = x + after(proj(act(proj(h, l, "mlp", "gate_proj")) * proj(h, l, "mlp", "up_proj"), l, "mlp", "down_proj"), n + "post_feedforward_layernorm.weight")
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return cap(rms(x, "model.norm.weight") @ head.T, getattr(cfg, "final_logit_softcapping", None))


def response_loss(logits, labels, smoothing):
    """Mean over the rows that have a label (-100: none) of the label-smoothed cross-entropy; row t predicts labels[t]."""
    logp, y = logits.log_softmax(-1), labels.clamp(min=0)
    rows = (1 - smoothing) * -logp.gather(-1, y[:, None])[:, 0] + smoothing * -logp.mean(-1)
    return rows[labels != -100].mean()
