"""The models: published shapes and constants, their reduction to small ones, and their config.json.

The figures are those of each model's published config.json. `parameters` is the published count, in units of one; the tests hold
the written files to it within 0.5 %.
"""
import copy
import dataclasses
from typing import Optional


@dataclasses.dataclass
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434)."""
    q_rank: int = 1536
    kv_rank: int = 512
    nope_dim: int = 128
    rope_dim: int = 64
    v_dim: int = 128


@dataclasses.dataclass
class Experts:
    """A mixture of experts. `router`: "softmax" over all experts, then the top ones, normalised; "topk" softmax over the chosen ones;
    "grouped" sigmoid scores, groups limited, a correction bias in the choice (DeepSeek-V3, arXiv 2412.19437)."""
    count: int
    top: int
    ffn: int
    router: str = "softmax"
    router_bias: bool = False
    bias: bool = False
    clamp: Optional[float] = None      # GPT-OSS: gate and up are clamped, sigmoid(1.702 x), up + 1
    groups: int = 1
    top_groups: int = 1
    scaling: float = 1.0
    shared: int = 0                    # shared experts, each of `ffn`
    dense_layers: int = 0              # the first layers have a plain feed-forward part


@dataclasses.dataclass
class Model:
    name: str
    family: str                        # llama, gpt2, bert, whisper
    model_type: str                    # config.json
    architecture: str
    parameters: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    eps: float
    eos: object
    bos: Optional[int] = None
    theta: float = 10000.0
    rope_scaling: Optional[dict] = None
    tied: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    window: Optional[int] = None       # on every other layer, from the first
    sinks: bool = False
    experts: Optional[Experts] = None
    latent: Optional[Latent] = None
    encoder_layers: int = 0            # Whisper
    mel_bins: int = 80
    frames: int = 1500
    types: int = 0                     # BERT's token types
    mask: str = "trilu"                # how an Optimum export of that model's code writes the mask: trilu, less or bool
    attention: str = "eager"           # and its attention: eager or sdpa
    rope: str = "computed"             # and its angles: computed, or gathered from tables
    scaled: bool = False
    trained: str = ""                  # the file with its weights, below models/

    def windowed(self, layer):
        return self.window is not None and layer % 2 == 0

    def has_experts(self, layer):
        return self.experts is not None and layer >= self.experts.dense_layers


LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}
GPT_OSS_ROPE = {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                "original_max_position_embeddings": 4096}
DEEPSEEK_ROPE = {"rope_type": "yarn", "factor": 40.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                 "original_max_position_embeddings": 4096}


def llama(name, parameters, **shape):
    return Model(name, "llama", "llama", "LlamaForCausalLM", parameters, **shape)


def qwen2(name, parameters, **shape):
    return Model(name, "llama", "qwen2", "Qwen2ForCausalLM", parameters, qkv_bias=True, theta=1e6, eos=[151645, 151643], bos=151643,
                 mask="less", attention="sdpa", rope="gathered", **shape)


def gpt_oss(name, parameters, layers, experts):
    return Model(name, "llama", "gpt_oss", "GptOssForCausalLM", parameters, layers=layers, hidden=2880, heads=64, kv_heads=8, head_dim=64,
                 ffn=2880, vocab=201088, context=131072, eps=1e-5, eos=[200002, 199999], bos=199998, theta=150000.0,
                 rope_scaling=dict(GPT_OSS_ROPE), qkv_bias=True, o_bias=True, window=128, sinks=True, mask="bool",
                 experts=Experts(experts, 4, 2880, router="topk", router_bias=True, bias=True, clamp=7.0))


MODELS = [
    llama("Llama-3.1-8B", 8.030e9, layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, ffn=14336, vocab=128256, context=131072,
          eps=1e-5, eos=[128001, 128008, 128009], bos=128000, theta=500000.0, rope_scaling=dict(LLAMA3_ROPE)),
    llama("Llama-3.3-70B", 70.554e9, layers=80, hidden=8192, heads=64, kv_heads=8, head_dim=128, ffn=28672, vocab=128256, context=131072,
          eps=1e-5, eos=[128001, 128008, 128009], bos=128000, theta=500000.0, rope_scaling=dict(LLAMA3_ROPE)),
    qwen2("Qwen2.5-32B", 32.764e9, layers=64, hidden=5120, heads=40, kv_heads=8, head_dim=128, ffn=27648, vocab=152064, context=32768,
          eps=1e-6),
    Model("Qwen3-32B", "llama", "qwen3", "Qwen3ForCausalLM", 32.762e9, layers=64, hidden=5120, heads=64, kv_heads=8, head_dim=128,
          ffn=25600, vocab=151936, context=40960, eps=1e-6, eos=[151645, 151643], bos=151643, theta=1e6, qk_norm=True),
    Model("Qwen3-235B-A22B", "llama", "qwen3_moe", "Qwen3MoeForCausalLM", 235.09e9, layers=94, hidden=4096, heads=64, kv_heads=4,
          head_dim=128, ffn=12288, vocab=151936, context=40960, eps=1e-6, eos=[151645, 151643], bos=151643, theta=1e6, qk_norm=True,
          experts=Experts(128, 8, 1536)),
    gpt_oss("GPT-OSS-20B", 20.915e9, 24, 32),
    gpt_oss("GPT-OSS-120B", 116.83e9, 36, 128),
    Model("DeepSeek-V3", "llama", "deepseek_v3", "DeepseekV3ForCausalLM", 671.03e9, layers=61, hidden=7168, heads=128, kv_heads=128,
          head_dim=192, ffn=18432, vocab=129280, context=163840, eps=1e-6, eos=1, bos=0, rope_scaling=dict(DEEPSEEK_ROPE), latent=Latent(),
          experts=Experts(256, 8, 2048, router="grouped", groups=8, top_groups=4, scaling=2.5, shared=1, dense_layers=3)),
    qwen2("Qwen2.5-0.5B", 494.03e6, layers=24, hidden=896, heads=14, kv_heads=2, head_dim=64, ffn=4864, vocab=151936, context=32768,
          eps=1e-6, tied=True),
    llama("SmolLM2-135M", 134.515e6, layers=30, hidden=576, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocab=49152, context=8192,
          eps=1e-5, eos=2, bos=1, theta=100000.0, tied=True),
    # The size that speeds are compared at (test/bench/llama_native.py).
    llama("Llama-110M", 109.530e6, layers=12, hidden=768, heads=12, kv_heads=12, head_dim=64, ffn=2048, vocab=32000, context=1024,
          eps=1e-5, eos=2, bos=1, tied=True),
    Model("Mixtral-8x7B", "llama", "mixtral", "MixtralForCausalLM", 46.703e9, layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128,
          ffn=14336, vocab=32000, context=32768, eps=1e-5, eos=2, bos=1, theta=1e6, mask="less", rope="gathered", experts=Experts(8, 2, 14336)),
    Model("GPT-2", "gpt2", "gpt2", "GPT2LMHeadModel", 124.44e6, layers=12, hidden=768, heads=12, kv_heads=12, head_dim=64, ffn=3072,
          vocab=50257, context=1024, eps=1e-5, eos=50256, bos=50256, tied=True),
    Model("BERT-base", "bert", "bert", "BertModel", 109.482e6, layers=12, hidden=768, heads=12, kv_heads=12, head_dim=64, ffn=3072,
          vocab=30522, context=512, eps=1e-12, eos=None, types=2),
    Model("Whisper-base", "whisper", "whisper", "WhisperForConditionalGeneration", 72.594e6, layers=6, encoder_layers=6, hidden=512, heads=8,
          kv_heads=8, head_dim=64, ffn=2048, vocab=51865, context=448, eps=1e-5, eos=50257, bos=50258, tied=True),
    # Small and trained: models/verse holds its weights.
    Model("Verse-1M", "llama", "qwen3", "Qwen3ForCausalLM", 0.968064e6, layers=4, hidden=128, heads=4, kv_heads=2, head_dim=32, ffn=416,
          vocab=1024, context=512, eps=1e-6, eos=0, bos=0, qk_norm=True, tied=True, trained="verse/weights.npz"),
]


def plain(name):
    return "".join(c for c in name.lower() if c.isalnum())


def find(name):
    """The model of that name in any case, punctuation aside; None when there is none."""
    return next((copy.deepcopy(m) for m in MODELS if plain(m.name) == plain(name)), None)


# --- Small versions ----------------------------------------------------------------------------------------------------------------

def multiple(value, step):
    return max(step, round(value / step) * step)


def resize(model, hidden, heads, kv_heads, head_dim, layers, vocab, context):
    """Sets the sizes and derives the rest in the model's own proportions."""
    m = model
    ratio = hidden / m.hidden
    ffn = lambda size: multiple(size * ratio, 64)
    m.ffn = ffn(m.ffn)
    if m.experts:
        m.experts.ffn = ffn(m.experts.ffn)
    if m.rope_scaling:
        m.rope_scaling["original_max_position_embeddings"] = max(
            16, round(m.rope_scaling["original_max_position_embeddings"] * context / m.context))
    if m.latent:
        l, narrow = m.latent, head_dim / m.head_dim
        l.nope_dim, l.rope_dim, l.v_dim = (multiple(d * narrow, 16) for d in (l.nope_dim, l.rope_dim, l.v_dim))
        l.q_rank, l.kv_rank = multiple(l.q_rank * ratio, 32), max(32, multiple(l.kv_rank * ratio, 32))
        head_dim = l.nope_dim + l.rope_dim
    m.hidden, m.heads, m.kv_heads, m.head_dim = hidden, heads, kv_heads, head_dim
    m.layers, m.vocab, m.context, m.scaled = layers, vocab, context, True


def move_ids(model):
    """Brings special ids into a reduced vocabulary: its last ids, in their order."""
    def fit(ids):
        return [i if i < model.vocab else model.vocab - 1 - n for n, i in enumerate(ids)]
    if model.eos is not None:
        model.eos = fit(model.eos) if isinstance(model.eos, list) else fit([model.eos])[0]
    if model.bos is not None and model.bos >= model.vocab:
        model.bos = 0


def scale(model, factor):
    """Reduces a model in place. `factor` is "tiny" or a fraction of the parameters; heads keep their grouping."""
    m = model
    group = m.heads // m.kv_heads
    if factor == "tiny":
        kv = min(m.kv_heads, 4 if group == 1 else 2)
        heads = kv * group
        head_dim = 48 if m.latent else 32 if heads <= 16 else 16
        layers = 4 if m.window or m.experts else 3
        if m.experts:
            e = m.experts
            e.count, e.top, e.dense_layers = min(e.count, 16), min(e.top, 4), min(e.dense_layers, 1)
            e.groups, e.top_groups = min(e.groups, 4), min(e.top_groups, 2)
        if m.window:
            m.window = 24
        if m.family == "whisper":
            m.encoder_layers, m.frames, m.mel_bins = 2, 96, 16
            layers = 2
        context = {"whisper": 448, "gpt2": 1024, "bert": 512}.get(m.family, 2048)
        resize(m, 128, heads, kv, head_dim, layers, 512, context)
    else:
        side = factor ** (1 / (4 if m.experts else 3))   # of layers, of both sides of a matrix, of experts
        shrink = min(1.0, max(side, min(2, m.kv_heads) / m.kv_heads))
        kv = max(1, round(m.kv_heads * shrink))
        heads = kv * group
        head_dim = min(m.head_dim, multiple(m.head_dim * side * m.heads / heads, 16))
        hidden = multiple(m.hidden * side, 64)
        if m.experts:
            e = m.experts
            e.count = max(min(e.count, 8), 1 << (int(e.count * side).bit_length() - 1 if e.count * side >= 1 else 0))
            e.top = min(e.top, e.count // 2)
            e.dense_layers = min(e.dense_layers, max(1, round(e.dense_layers * side)))
            e.groups = min(e.groups, max(1, e.count // 4))
            e.top_groups = max(1, min(e.top_groups, e.groups // 2))
        if m.window:
            m.window = max(16, round(m.window * side))
        if m.family == "whisper":
            m.encoder_layers = max(2, round(m.encoder_layers * side))
        if m.family != "llama":
            head_dim = multiple(head_dim, 8)
            hidden = heads * head_dim
        resize(m, hidden, heads, kv, head_dim, max(2, round(m.layers * side)), multiple(m.vocab * side, 64),
               max(256, multiple(m.context * side, 64)) if m.family != "whisper" else m.context)
    move_ids(m)


def override(model, layers=None, hidden=None, context=None, window=None, vocab=None, experts=None, top=None):
    """Sets single sizes. Raises ValueError with a sentence when one does not fit."""
    m = model
    if layers:
        m.layers = layers
        if m.encoder_layers:
            m.encoder_layers = layers
    if hidden:
        if hidden % 32:
            raise ValueError(f"--hidden={hidden}: take a multiple of 32")
        m.hidden = hidden
    if context:
        m.context = context
    if window:
        if m.window is None:
            raise ValueError(f"--window: {m.name} has no attention window")
        m.window = window
    if vocab:
        m.vocab = vocab
        move_ids(m)
    if experts or top:
        if m.experts is None:
            raise ValueError(f"--experts, --top: {m.name} has no experts")
        m.experts.count, m.experts.top = experts or m.experts.count, top or m.experts.top
        if m.experts.top > m.experts.count:
            raise ValueError(f"--top={m.experts.top}: there are {m.experts.count} experts")
        if m.experts.count % m.experts.groups:
            raise ValueError(f"--experts={m.experts.count}: take a multiple of the {m.experts.groups} groups")
    if m.family in ("gpt2", "bert", "whisper"):
        m.head_dim = m.hidden // m.heads
        if m.head_dim * m.heads != m.hidden:
            raise ValueError(f"--hidden={m.hidden}: take a multiple of the {m.heads} heads")


# --- config.json -----------------------------------------------------------------------------------------------------------------

def config(m, element_name):
    """The model's config.json in the keys of its own family."""
    c = {"architectures": [m.architecture], "model_type": m.model_type, "vocab_size": m.vocab, "torch_dtype": element_name,
         "bos_token_id": m.bos, "eos_token_id": m.eos, "tie_word_embeddings": m.tied}
    if m.family == "gpt2":
        c.update(n_layer=m.layers, n_embd=m.hidden, n_head=m.heads, n_positions=m.context, n_ctx=m.context, n_inner=m.ffn,
                 layer_norm_epsilon=m.eps, activation_function="gelu_new", max_position_embeddings=m.context)
        return c
    if m.family == "bert":
        c.update(num_hidden_layers=m.layers, hidden_size=m.hidden, num_attention_heads=m.heads, intermediate_size=m.ffn,
                 max_position_embeddings=m.context, layer_norm_eps=m.eps, hidden_act="gelu", type_vocab_size=m.types, pad_token_id=0)
        return c
    if m.family == "whisper":
        c.update(d_model=m.hidden, encoder_layers=m.encoder_layers, decoder_layers=m.layers, encoder_attention_heads=m.heads,
                 decoder_attention_heads=m.heads, encoder_ffn_dim=m.ffn, decoder_ffn_dim=m.ffn, num_mel_bins=m.mel_bins,
                 max_source_positions=m.frames, max_target_positions=m.context, activation_function="gelu",
                 decoder_start_token_id=m.bos, num_hidden_layers=m.encoder_layers, is_encoder_decoder=True)
        return c
    c.update(hidden_size=m.hidden, intermediate_size=m.ffn, num_hidden_layers=m.layers, num_attention_heads=m.heads,
             num_key_value_heads=m.kv_heads, head_dim=m.head_dim, hidden_act="silu", max_position_embeddings=m.context, rms_norm_eps=m.eps,
             rope_theta=m.theta, rope_scaling=m.rope_scaling, attention_bias=m.qkv_bias, use_cache=True)
    if m.window:
        c.update(sliding_window=m.window, layer_types=["sliding_attention" if m.windowed(i) else "full_attention" for i in range(m.layers)])
    if m.experts:
        e = m.experts
        key = {"mixtral": "num_local_experts", "gpt_oss": "num_local_experts", "deepseek_v3": "n_routed_experts"}.get(m.model_type, "num_experts")
        c.update({key: e.count}, num_experts_per_tok=e.top)
        if m.model_type in ("qwen3_moe", "deepseek_v3"):
            c.update(moe_intermediate_size=e.ffn, norm_topk_prob=True)
        if e.clamp:
            c.update(swiglu_limit=e.clamp)
        if e.router == "grouped":
            c.update(n_group=e.groups, topk_group=e.top_groups, routed_scaling_factor=e.scaling, n_shared_experts=e.shared,
                     first_k_dense_replace=e.dense_layers, scoring_func="sigmoid", topk_method="noaux_tc")
    if m.latent:
        l = m.latent
        c.update(q_lora_rank=l.q_rank, kv_lora_rank=l.kv_rank, qk_nope_head_dim=l.nope_dim, qk_rope_head_dim=l.rope_dim, v_head_dim=l.v_dim)
    return c


def genai_config(m, filename):
    """genai_config.json as onnxruntime-genai reads it."""
    eos = m.eos
    session = {"log_id": "onnxruntime-genai", "provider_options": []}
    inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask", "past_key_names": "past_key_values.%d.key",
              "past_value_names": "past_key_values.%d.value"}
    outputs = {"logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    encoder = {}
    if m.family == "whisper":
        inputs = {"input_ids": "input_ids", "past_key_names": "past_key_self_%d", "past_value_names": "past_value_self_%d",
                  "cross_past_key_names": "past_key_cross_%d", "cross_past_value_names": "past_value_cross_%d"}
        outputs = {"logits": "logits", "present_key_names": "present_key_self_%d", "present_value_names": "present_value_self_%d"}
        encoder = {"encoder": {
            "session_options": session, "filename": "encoder_model.onnx", "head_size": m.head_dim, "hidden_size": m.hidden,
            "inputs": {"audio_features": "audio_features"},
            "outputs": {"encoder_hidden_states": "hidden_states", "cross_present_key_names": "present_key_cross_%d",
                        "cross_present_value_names": "present_value_cross_%d"},
            "num_attention_heads": m.heads, "num_hidden_layers": m.encoder_layers, "num_key_value_heads": m.heads}}
    return {
        "model": {
            "bos_token_id": m.bos, "context_length": m.context,
            "decoder": {"session_options": session, "filename": filename, "head_size": m.head_dim, "hidden_size": m.hidden, "inputs": inputs,
                        "outputs": outputs, "num_attention_heads": m.heads, "num_hidden_layers": m.layers, "num_key_value_heads": m.kv_heads},
            **encoder,
            "eos_token_id": eos, "pad_token_id": eos[0] if isinstance(eos, list) else eos, "type": m.model_type, "vocab_size": m.vocab},
        "search": {"do_sample": False, "early_stopping": True, "max_length": m.context, "min_length": 0, "num_beams": 1,
                   "num_return_sequences": 1, "past_present_share_buffer": False, "repetition_penalty": 1.0, "temperature": 1.0, "top_k": 1,
                   "top_p": 1.0}}
