"""Multi-head latent attention (DeepSeek-V2 and V3).

The default cache holds, for a token and layer, one vector [kv_rank + rope_dim]: the normed latent and the rotated key part that all
heads share. Queries are multiplied by the keys' up-projection and results by the values', so the cache is never expanded.
`cache=parts` keeps the two in caches of their own, key and value, and adds two products of scores, as DeepSeek's own inference code does.
`cache=expanded` keeps K and V of every head, as Hugging Face's code does."""
from . import primitives as p


def split(g, x, *sizes):
    return g.op("Split", [x, g.ints(list(sizes))], len(sizes), axis=-1)


def attention(d, i, x):
    m, g, l = d.m, d.g, d.m.latent
    name = f"model.layers.{i}.self_attn."
    b, s = d.dims(x)
    low = d.norm(d.linear(x, name + "q_a_proj", m.hidden, l.q_rank), name + "q_a_layernorm", l.q_rank)
    q = d.linear(low, name + "q_b_proj", l.q_rank, m.heads * (l.nope_dim + l.rope_dim))
    q_nope, q_rope = split(g, p.split_heads(g, q, b, s, m.heads, l.nope_dim + l.rope_dim), l.nope_dim, l.rope_dim)
    latent, k_rope = split(g, d.linear(x, name + "kv_a_proj_with_mqa", m.hidden, l.kv_rank + l.rope_dim), l.kv_rank, l.rope_dim)
    latent = d.norm(latent, name + "kv_a_layernorm", l.kv_rank)
    q_rope = d.rotary_interleaved(q_rope, m.heads, l.rope_dim)
    k_rope = d.rotary_interleaved(p.split_heads(g, k_rope, b, s, 1, l.rope_dim), 1, l.rope_dim)
    up = d.drawn(name + "kv_b_proj", l.kv_rank, m.heads * (l.nope_dim + l.v_dim))
    form = expanded if d.options.cache == "expanded" else absorbed
    y = form(d, i, b, s, q_nope, q_rope, latent, k_rope, up)
    y = g.reshape(g.transpose(y, 0, 2, 1, 3), b, s, m.heads * l.v_dim)
    return d.linear(y, name + "o_proj", m.heads * l.v_dim, m.hidden)


def absorbed(d, i, b, s, q_nope, q_rope, latent, k_rope, up):
    m, g, l = d.m, d.g, d.m.latent
    name = f"model.layers.{i}.self_attn."
    by_head = up.reshape(l.kv_rank, m.heads, l.nope_dim + l.v_dim)
    keys = g.weight(name + "kv_b_proj.key_up", by_head[:, :, :l.nope_dim].transpose(1, 2, 0))      # [heads, nope, rank]
    values = g.weight(name + "kv_b_proj.value_up", by_head[:, :, l.nope_dim:].transpose(1, 0, 2))  # [heads, rank, v]
    q_latent = g.op("MatMul", [q_nope, keys])
    if d.options.cache == "parts":
        return g.op("MatMul", [in_parts(d, i, q_latent, q_rope, latent, k_rope), values])
    q = g.op("Concat", [q_latent, q_rope], axis=-1)
    width = l.kv_rank + l.rope_dim
    if getattr(d, "static", False):
        flat = g.reshape(k_rope, 0, -1, l.rope_dim)
        k = g.unsqueeze(d.scatter(i, "key", g.op("Concat", [latent, flat], axis=-1), width), 1)
    else:
        past, present = d.cache(i, "key", 1, width)
        k = d.grow(past, g.op("Concat", [g.unsqueeze(latent, 1), k_rope], axis=-1), present)
    v = g.slice(k, 3, 0, l.kv_rank)
    y = attend(d, q, k, v)
    return g.op("MatMul", [y, values])


def in_parts(d, i, q_latent, q_rope, latent, k_rope):
    """Attention whose key is the latent beside the rotated part, each cached alone, and whose value is the latent."""
    g, l = d.g, d.m.latent
    (past_r, present_r), (past_l, present_l) = d.cache(i, "key", 1, l.rope_dim), d.cache(i, "value", 1, l.kv_rank)
    rope, low = d.grow(past_r, k_rope, present_r), d.grow(past_l, g.unsqueeze(latent, 1), present_l)
    if d.names == "flat":
        return attend(d, g.op("Concat", [q_latent, q_rope], axis=-1), g.op("Concat", [low, rope], axis=-1), low)
    scores = [g.op("MatMul", [q, g.transpose(k, 0, 1, 3, 2)]) for q, k in ((q_latent, low), (q_rope, rope))]
    scores = g.op("Mul", [g.op("Add", scores), g.floats(d.scale())])
    return g.op("MatMul", [p.softmax(g, g.op("Add", [scores, d.masks[None]])), low])


def expanded(d, i, b, s, q_nope, q_rope, latent, k_rope, up):
    m, g, l = d.m, d.g, d.m.latent
    kv = d.linear(latent, f"model.layers.{i}.self_attn.kv_b_proj", l.kv_rank, m.heads * (l.nope_dim + l.v_dim))
    k_nope, v = split(g, p.split_heads(g, kv, b, s, m.heads, l.nope_dim + l.v_dim), l.nope_dim, l.v_dim)
    if d.names == "torch":
        k_rope = p.expand(g, k_rope, b, m.heads, s, l.rope_dim)
    else:
        k_rope = g.op("Expand", [k_rope, g.ints([1, m.heads, 1, 1])])
    q, k = g.op("Concat", [q_nope, q_rope], axis=-1), g.op("Concat", [k_nope, k_rope], axis=-1)
    (past_k, present_k), (past_v, present_v) = d.cache(i, "key", m.heads, m.head_dim), d.cache(i, "value", m.heads, l.v_dim)
    if d.names == "flat":
        return g.op("Attention", [q, k, v, d.masks[None], past_k, past_v], [None, present_k, present_v], scale=d.scale())[0]
    return attend(d, q, d.grow(past_k, k, present_k), d.grow(past_v, v, present_v))


def attend(d, q, k, v):
    if d.names == "flat":
        return d.g.op("Attention", [q, k, v, d.masks[None]], scale=d.scale())
    return p.attend(d.g, q, k, v, d.masks[None], d.scale())
