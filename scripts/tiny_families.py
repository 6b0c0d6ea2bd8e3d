"""The tiny models of samples/: their config.json as transformers writes it for the real models of each family.

Most are in the style of transformers 4 (torch_dtype, rope_theta, rope_scaling), which is what people have; where
`dtype` and `rope_parameters` stand instead, it is that of transformers 5. What is off the real value is so that it
matters within 200 tokens: windows of 16, caps that bend, original lengths of 32 and 48.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    name: str
    config: dict = field(repr=False)
    seed: int = 0  # chosen so that no golden answer hangs on float noise
    shards: int = 1
    weights_of: str = ""  # the folder whose weights these are, too: only the config differs
    norm_neutral: float = 1  # Gemma's norms multiply by 1 + weight
    norm_spread: float = 0.3
    last_norm_spread: float = 1.0
    head_scale: float = 1.6  # of the embedding and the head

    @property
    def dtype(self):
        return self.config.get("torch_dtype") or self.config["dtype"]


def config(architecture, model_type, **fields):
    """Fields that the configs of all families have; the shape is the usual one here, where `fields` has no other."""
    shape = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5}
    style = {} if "dtype" in fields else {"torch_dtype": "bfloat16"}
    common = {"architectures": [architecture], "bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.02,
              "model_type": model_type, "use_cache": True}
    return dict(sorted((common | shape | style | fields).items()))


def llama(**fields):
    return config("LlamaForCausalLM", "llama", **(dict(
        attention_bias=False, hidden_act="silu", mlp_bias=False, tie_word_embeddings=False) | fields))


def older_llama(**fields):
    return llama(**(dict(vocab_size=512, intermediate_size=128, num_hidden_layers=3, max_position_embeddings=512,
                         rope_theta=10000.0) | fields))


def mistral(**fields):
    return config("MistralForCausalLM", "mistral", **(dict(
        attention_dropout=0.0, head_dim=16, hidden_act="silu", intermediate_size=64, num_attention_heads=8,
        num_key_value_heads=4, rope_theta=10000.0, sliding_window=16, tie_word_embeddings=False) | fields))


def qwen2(**fields):
    return config("Qwen2ForCausalLM", "qwen2", **(dict(
        attention_dropout=0.0, hidden_act="silu", max_window_layers=1, rms_norm_eps=1e-6, rope_theta=1000000.0,
        sliding_window=16, tie_word_embeddings=True, use_mrope=False, use_sliding_window=False) | fields))


def qwen3(**fields):
    return config("Qwen3ForCausalLM", "qwen3", **(dict(
        attention_bias=False, attention_dropout=0.0, head_dim=32, hidden_act="silu", max_window_layers=2,
        rms_norm_eps=1e-6, rope_scaling=None, rope_theta=1000000, sliding_window=None, tie_word_embeddings=True,
        use_sliding_window=False) | fields))


def phi3(**fields):
    return config("Phi3ForCausalLM", "phi3", **(dict(
        attention_bias=False, attention_dropout=0.0, embd_pdrop=0.0, hidden_act="silu",
        original_max_position_embeddings=48, pad_token_id=1, resid_pdrop=0.0, rope_scaling=None, rope_theta=10000.0,
        sliding_window=262144, tie_word_embeddings=False) | fields))


def longrope(count):
    """Factors that grow with the dimension, as the real lists do."""
    return {"long_factor": [round(1.05 + 0.9 * i, 4) for i in range(count)],
            "short_factor": [round(1.0 + 0.15 * i, 4) for i in range(count)], "type": "longrope"}


def gemma2(**fields):
    return config("Gemma2ForCausalLM", "gemma2", **(dict(
        attention_bias=False, attention_dropout=0.0, attn_logit_softcapping=4.0, cache_implementation="hybrid",
        eos_token_id=[1, 3], final_logit_softcapping=6.0, head_dim=16, hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh", intermediate_size=64, num_attention_heads=8, num_hidden_layers=3,
        num_key_value_heads=4, pad_token_id=0, query_pre_attn_scalar=24, rms_norm_eps=1e-6, rope_theta=10000.0,
        sliding_window=16) | fields))


def gemma3(**fields):
    return config("Gemma3ForCausalLM", "gemma3_text", **(dict(
        attention_bias=False, attention_dropout=0.0, attn_logit_softcapping=None, cache_implementation="hybrid",
        eos_token_id=[1, 3], final_logit_softcapping=None, head_dim=16, hidden_activation="gelu_pytorch_tanh",
        hidden_size=48, intermediate_size=64, num_attention_heads=8, num_hidden_layers=4, num_key_value_heads=2,
        pad_token_id=0, query_pre_attn_scalar=12, rms_norm_eps=1e-6, sliding_window=16) | fields))


def yarn(**options):
    return qwen2(max_position_embeddings=32, rope_theta=10000.0, tie_word_embeddings=False,
                 rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32, "type": "yarn"} | options)


SMOLLM3 = config(
    "SmolLM3ForCausalLM", "smollm3", attention_bias=False, attention_dropout=0.0, hidden_act="silu",
    intermediate_size=64, layer_types=["full_attention"] * 4, max_window_layers=28, mlp_bias=False,
    no_rope_layer_interval=4, no_rope_layers=[1, 1, 1, 0], num_hidden_layers=4, pad_token_id=1, pretraining_tp=2,
    rms_norm_eps=1e-6, rope_scaling=None, rope_theta=5000000.0, sliding_window=None, use_sliding_window=False)

LLAMA3_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 64}
OLDER = dict(seed=20260101, norm_spread=0.1, last_norm_spread=0.1)
# A small embedding, since Gemma multiplies it by sqrt(hidden).
GEMMA = dict(norm_neutral=0.0, last_norm_spread=4.0, head_scale=0.6)

FAMILIES = [
    Family("tiny-llama", older_llama(rope_scaling=None), shards=2, **OLDER),
    Family("tiny-llama3", older_llama(rope_scaling=LLAMA3_SCALING, tie_word_embeddings=True, torch_dtype="float32"),
           **OLDER),
    # Biases everywhere: only one rank may add those of o_proj and down_proj.
    Family("tiny-dynamic", llama(attention_bias=True, mlp_bias=True, rope_theta=10000.0, torch_dtype="float16",
                                 rope_scaling={"type": "dynamic", "factor": 2.0}), seed=10),
    Family("tiny-linear", llama(dtype="float32", num_key_value_heads=4, intermediate_size=64, tie_word_embeddings=True,
                                rope_parameters={"factor": 2.0, "rope_theta": 10000.0, "rope_type": "linear"}), seed=5),
    Family("tiny-mistral", mistral(), seed=20),
    Family("tiny-mistral-nowindow", mistral(rope_theta=1000000.0, sliding_window=None), weights_of="tiny-mistral"),
    Family("tiny-qwen2", qwen2(), seed=35),
    Family("tiny-qwen2-window", qwen2(use_sliding_window=True), weights_of="tiny-qwen2"),
    Family("tiny-yarn", yarn(), seed=8),
    Family("tiny-yarn-attention", yarn(attention_factor=0.8, beta_fast=1.5, beta_slow=0.5), weights_of="tiny-yarn"),
    Family("tiny-yarn-mscale", yarn(mscale=2.0, mscale_all_dim=0.5, truncate=False), weights_of="tiny-yarn"),
    Family("tiny-qwen3", qwen3(), seed=7),
    Family("tiny-phi3", phi3(num_key_value_heads=4, rope_scaling=longrope(8)), seed=19),
    Family("tiny-phi4", phi3(original_max_position_embeddings=256, partial_rotary_factor=0.75, rope_theta=250000,
                             sliding_window=None), seed=7),
    Family("tiny-phi4-mini", phi3(full_attn_mod=1, interpolate_factor=1, lm_head_bias=False, mlp_bias=False,
                                  partial_rotary_factor=0.75, rope_scaling=longrope(6), tie_word_embeddings=True),
           seed=1),
    Family("tiny-smollm3", SMOLLM3, seed=3, head_scale=1.0),
    Family("tiny-gemma2", gemma2(), seed=7, **GEMMA),
    Family("tiny-gemma3", gemma3(rope_local_base_freq=10000, rope_scaling={"factor": 8.0, "rope_type": "linear"},
                                 rope_theta=1000000, sliding_window_pattern=3), seed=2, **GEMMA),
    Family("tiny-gemma3-v5", gemma3(
        dtype="bfloat16", layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"factor": 8.0, "rope_theta": 1000000.0, "rope_type": "linear"},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}}), weights_of="tiny-gemma3"),
]
