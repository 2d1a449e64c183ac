#!/usr/bin/env python3
"""Makes parity cases of decoders of transformers, alone and with their heads: a small random model, inputs, and what it computes from them in float64.

    python3 test/parity/make.py FOLDER                 every case of CASES
    python3 test/parity/make.py FOLDER NAME [NAME …]   those

Needs torch, transformers and safetensors. `npm run parity -- FOLDER/*` compares.
"""
import copy
import json
import os
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.core_model_loading import revert_weight_conversion

SIZES = dict(vocab_size=101, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=1, tie_word_embeddings=False)


softmax = torch.nn.functional.softmax
# Attention that transformers computes itself asks for float32, in which a float64 mask is infinite and rows without keys become NaN.
torch.nn.functional.softmax = lambda x, dim=None, dtype=None, **rest: softmax(x, dim=dim, dtype=None if x.dtype == torch.float64 else dtype, **rest)


def rope(kind, theta=10000.0, **options):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **options}}


FACTORS = dict(short_factor=[1.0, 1.3, 1.7, 2.5], long_factor=[1.5, 3.0, 6.0, 12.0])
LONGROPE = rope("longrope", **FACTORS)
GPT2 = dict(n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=56, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
OPT = dict(ffn_dim=56, dropout=0.0)
RW = dict(alibi=True, bias=True, multi_query=False, parallel_attn=False)
FACTORS = dict(short_factor=[1.0, 1.3, 1.7, 2.5], long_factor=[1.5, 3.0, 6.0, 12.0])
LONGROPE = rope("longrope", **FACTORS)

# name: (class, options of its configuration beyond SIZES[, of its inputs])
CASES = {
    "llama-biases": ("LlamaForCausalLM", dict(attention_bias=True, mlp_bias=True, head_dim=12, hidden_act="gelu")),
    "llama-linear": ("LlamaForCausalLM", rope("linear", factor=4.0)),
    "llama-dynamic": ("LlamaForCausalLM", dict(max_position_embeddings=12, **rope("dynamic", factor=2.0))),
    "llama-yarn": ("LlamaForCausalLM", dict(head_dim=32, **rope("yarn", factor=4.0, original_max_position_embeddings=16))),
    "llama-yarn-mscale": ("LlamaForCausalLM", dict(head_dim=32, **rope("yarn", factor=8.0, original_max_position_embeddings=32, beta_fast=16, beta_slow=2, mscale=0.7,
                                                                      mscale_all_dim=1.0, truncate=False))),
    "mistral-full": ("MistralForCausalLM", dict(sliding_window=None, head_dim=16)),
    "qwen2-windows": ("Qwen2ForCausalLM", dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen3": ("Qwen3ForCausalLM", dict(head_dim=16)),
    "qwen3-biases-windows": ("Qwen3ForCausalLM", dict(head_dim=8, attention_bias=True, use_sliding_window=True, sliding_window=4, max_window_layers=0, tie_word_embeddings=True)),
    "gpt2-double-heads": ("GPT2DoubleHeadsModel", dict(tie_word_embeddings=True, **GPT2)),
    "gpt2-double-heads-untied": ("GPT2DoubleHeadsModel", dict(summary_activation="tanh", **GPT2), dict(mask=False)),
    "gemma-tied": ("GemmaForCausalLM", dict(head_dim=16, tie_word_embeddings=True, hidden_act="gelu")),
    "gemma-biases": ("GemmaForCausalLM", dict(head_dim=8, attention_bias=True, hidden_act="silu", num_key_value_heads=1, **rope("linear", factor=2.0))),
    "gemma-sequence": ("GemmaForSequenceClassification", dict(head_dim=8, num_labels=3), dict(mask=False)),
    "gemma-tokens": ("GemmaForTokenClassification", dict(head_dim=8, num_labels=3)),
    # Windows that reach back over the padding: where a query sees no key, what transformers gives depends on how it computes attention.
    "gemma2": ("Gemma2ForCausalLM", dict(head_dim=8, sliding_window=7, query_pre_attn_scalar=7, attn_logit_softcapping=0.9, final_logit_softcapping=2.0, tie_word_embeddings=True)),
    "gemma2-uncapped": ("Gemma2ForCausalLM", dict(head_dim=16, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=16, sliding_window=8,
                                                  layer_types=["full_attention", "sliding_attention"], attention_bias=True, hidden_activation="gelu")),
    "gemma2-wide": ("Gemma2ForCausalLM", dict(head_dim=8, num_hidden_layers=3, sliding_window=9, attn_logit_softcapping=1.5, final_logit_softcapping=None, rms_norm_eps=1e-3)),
    "gemma2-sequence": ("Gemma2ForSequenceClassification", dict(head_dim=8, sliding_window=7, attn_logit_softcapping=0.7), dict(left=True)),
    "gemma2-tokens": ("Gemma2ForTokenClassification", dict(head_dim=8, sliding_window=7, num_labels=3)),
    "phi3-tied": ("Phi3ForCausalLM", dict(tie_word_embeddings=True, sliding_window=5, hidden_act="gelu")),
    "phi3-partial": ("Phi3ForCausalLM", dict(num_key_value_heads=4, hidden_size=64, partial_rotary_factor=0.5)),
    # 17 tokens are longer than the first length, prompts of 9 outgrow it while they are continued, or never.
    "phi3-longrope": ("Phi3ForCausalLM", dict(original_max_position_embeddings=12, max_position_embeddings=96, **LONGROPE)),
    "phi3-longrope-short": ("Phi3ForCausalLM", dict(original_max_position_embeddings=48, max_position_embeddings=96, sliding_window=6, **LONGROPE)),
    "phi3-longrope-partial": ("Phi3ForCausalLM", dict(hidden_size=64, partial_rotary_factor=0.5, original_max_position_embeddings=14, max_position_embeddings=32, **LONGROPE)),
    "phi3-longrope-factor": ("Phi3ForCausalLM", dict(original_max_position_embeddings=16, **rope("longrope", factor=6.0, attention_factor=1.3, **FACTORS))),
    "phi3-sequence": ("Phi3ForSequenceClassification", dict(num_labels=3)),
    "phi3-tokens": ("Phi3ForTokenClassification", dict(original_max_position_embeddings=8, num_labels=3, **LONGROPE)),
    "mixtral-window": ("MixtralForCausalLM", dict(sliding_window=5, tie_word_embeddings=True, num_local_experts=3, num_experts_per_tok=1, hidden_act="gelu")),
    "mixtral-routers": ("MixtralForCausalLM", dict(num_local_experts=5, num_experts_per_tok=3, output_router_logits=True, router_aux_loss_coef=0.7, head_dim=12)),
    "mixtral-routers-unmasked": ("MixtralForCausalLM", dict(num_local_experts=4, output_router_logits=True, router_aux_loss_coef=0.7), dict(mask=False)),
    "mixtral-crowd": ("MixtralForCausalLM", dict(num_local_experts=40, num_experts_per_tok=1)),   # some experts see no token
    "mixtral-sequence": ("MixtralForSequenceClassification", dict(num_local_experts=4, num_labels=3)),
    "mixtral-tokens": ("MixtralForTokenClassification", dict(num_local_experts=4, num_labels=3)),
    "mixtral-answers": ("MixtralForQuestionAnswering", dict(num_local_experts=4)),
    "qwen2-moe": ("Qwen2MoeForCausalLM", dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=40, use_sliding_window=True,
                                              sliding_window=5, num_hidden_layers=3, mlp_only_layers=[1])),
    "qwen2-moe-routers": ("Qwen2MoeForCausalLM", dict(num_experts=4, num_experts_per_tok=3, moe_intermediate_size=24, shared_expert_intermediate_size=40, norm_topk_prob=True,
                                                      qkv_bias=False, output_router_logits=True, router_aux_loss_coef=0.7)),
    "qwen2-moe-answers": ("Qwen2MoeForQuestionAnswering", dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=40)),
    "qwen3-moe": ("Qwen3MoeForCausalLM", dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True, head_dim=16, attention_bias=True)),
    "qwen3-moe-routers": ("Qwen3MoeForCausalLM", dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8, use_sliding_window=True, sliding_window=5,
                                                      num_hidden_layers=3, decoder_sparse_step=2, output_router_logits=True, router_aux_loss_coef=0.7, tie_word_embeddings=True)),
    "qwen3-moe-sequence": ("Qwen3MoeForSequenceClassification", dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8, num_labels=3)),
    "qwen3-moe-tokens": ("Qwen3MoeForTokenClassification", dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8, num_labels=3)),
    "qwen3-moe-answers": ("Qwen3MoeForQuestionAnswering", dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8)),
    "gpt2-untied": ("GPT2LMHeadModel", GPT2),
    # Heads. Classifiers of sequences pool the last token that is not padding, whatever the mask says and on whichever side it is.
    "gpt2-sequence": ("GPT2ForSequenceClassification", dict(num_labels=3, **GPT2)),
    "gpt2-sequence-regression": ("GPT2ForSequenceClassification", dict(num_labels=1, **GPT2), dict(mask=False)),
    "gpt2-tokens": ("GPT2ForTokenClassification", dict(num_labels=5, **GPT2)),
    "gpt2-answers": ("GPT2ForQuestionAnswering", GPT2),
    "llama-layers": ("LlamaModel", dict(head_dim=12)),
    "llama-sequence": ("LlamaForSequenceClassification", dict(num_labels=4, problem_type="multi_label_classification")),
    "llama-sequence-left": ("LlamaForSequenceClassification", dict(num_labels=3), dict(left=True)),
    "llama-sequence-one": ("LlamaForSequenceClassification", dict(pad_token_id=None), dict(rows=1, mask=False)),
    "llama-tokens": ("LlamaForTokenClassification", dict(num_labels=3)),
    "llama-answers": ("LlamaForQuestionAnswering", dict(attention_bias=True)),
    "mistral-sequence": ("MistralForSequenceClassification", dict(sliding_window=4), dict(mask=False)),
    "mistral-tokens": ("MistralForTokenClassification", dict(sliding_window=4)),
    "mistral-answers": ("MistralForQuestionAnswering", dict(sliding_window=4)),
    "qwen2-sequence": ("Qwen2ForSequenceClassification", dict(num_labels=3, problem_type="regression")),
    "qwen2-tokens": ("Qwen2ForTokenClassification", dict(num_labels=3)),
    "qwen2-answers": ("Qwen2ForQuestionAnswering", {}),
    "qwen3-sequence": ("Qwen3ForSequenceClassification", dict(head_dim=16, num_labels=3)),
    "qwen3-tokens": ("Qwen3ForTokenClassification", dict(head_dim=16)),
    "qwen3-answers": ("Qwen3ForQuestionAnswering", dict(head_dim=16)),
    "opt-tied-no-padding": ("OPTForCausalLM", dict(tie_word_embeddings=True, pad_token_id=None, activation_function="gelu", **OPT)),
    "opt-350m": ("OPTForCausalLM", dict(do_layer_norm_before=False, word_embed_proj_dim=20, tie_word_embeddings=True, activation_function="gelu_new", **OPT)),
    "opt-wide-embedding": ("OPTForCausalLM", dict(word_embed_proj_dim=40, activation_function="silu", **OPT)),
    "opt-bare": ("OPTForCausalLM", dict(enable_bias=False, layer_norm_elementwise_affine=False, _remove_final_layer_norm=True, activation_function="gelu", **OPT)),
    "opt-layers": ("OPTModel", OPT),
    "opt-sequence": ("OPTForSequenceClassification", dict(num_labels=3, word_embed_proj_dim=24, activation_function="gelu", **OPT), dict(left=True)),
    "opt-answers": ("OPTForQuestionAnswering", dict(word_embed_proj_dim=24, activation_function="gelu", **OPT)),
    "gpt-neox-sequential": ("GPTNeoXForCausalLM", dict(use_parallel_residual=False, attention_bias=False, rotary_pct=0.5, rotary_emb_base=500, hidden_act="gelu_new", layer_norm_eps=1e-3)),
    "gpt-neox-tied-quarter": ("GPTNeoXForCausalLM", dict(tie_word_embeddings=True, num_attention_heads=2)),
    "gpt-neox-linear": ("GPTNeoXForCausalLM", dict(rotary_pct=1.0, rope_scaling={"type": "linear", "factor": 3.0})),
    "gpt-neox-dynamic": ("GPTNeoXForCausalLM", dict(max_position_embeddings=12, use_parallel_residual=False, **rope("dynamic", factor=2.0, partial_rotary_factor=0.5))),
    "gpt-neox-yarn": ("GPTNeoXForCausalLM", dict(num_attention_heads=2, **rope("yarn", factor=4.0, original_max_position_embeddings=16, partial_rotary_factor=0.75))),
    "gpt-neox-layers": ("GPTNeoXModel", {}),
    "gpt-neox-sequence": ("GPTNeoXForSequenceClassification", dict(num_labels=3)),
    "gpt-neox-tokens": ("GPTNeoXForTokenClassification", dict(num_labels=3)),
    "gpt-neox-answers": ("GPTNeoXForQuestionAnswering", dict(use_parallel_residual=False)),
    "gptj": ("GPTJForCausalLM", dict(rotary_dim=4, n_inner=56)),
    "gptj-tied-whole": ("GPTJForCausalLM", dict(rotary_dim=16, num_attention_heads=2, tie_word_embeddings=True, activation_function="gelu", layer_norm_epsilon=1e-3)),
    "gptj-layers": ("GPTJModel", dict(rotary_dim=6)),
    "gptj-sequence": ("GPTJForSequenceClassification", dict(rotary_dim=2, num_labels=3)),
    "gptj-answers": ("GPTJForQuestionAnswering", dict(rotary_dim=4)),
    "bloom": ("BloomForCausalLM", dict(tie_word_embeddings=True)),
    "bloom-behind-norms": ("BloomForCausalLM", dict(apply_residual_connection_post_layernorm=True, n_embed=36, num_attention_heads=6, layer_norm_epsilon=1e-3)),
    "bloom-exact": ("BloomForCausalLM", dict(pretraining_tp=2, slow_but_exact=True, num_attention_heads=1)),
    "bloom-ranks": ("BloomForCausalLM", dict(pretraining_tp=4, num_attention_heads=16)),
    "bloom-layers": ("BloomModel", {}),
    "bloom-sequence": ("BloomForSequenceClassification", dict(num_labels=4), dict(mask=False)),
    "bloom-tokens": ("BloomForTokenClassification", dict(num_labels=3)),
    "bloom-answers": ("BloomForQuestionAnswering", {}),
    "falcon-7b-biases": ("FalconForCausalLM", dict(bias=True, tie_word_embeddings=True, ffn_hidden_size=56, activation="gelu_new", **rope("linear", factor=2.0))),
    "falcon-40b": ("FalconForCausalLM", dict(new_decoder_architecture=True, num_kv_heads=2, layer_norm_epsilon=1e-3)),
    "falcon-11b": ("FalconForCausalLM", dict(new_decoder_architecture=True, num_kv_heads=1, num_ln_in_parallel_attn=1, bias=True, **rope("default", theta=500.0))),
    "falcon-40b-alibi": ("FalconForCausalLM", dict(new_decoder_architecture=True, alibi=True, hidden_size=36, num_attention_heads=6, num_kv_heads=3)),
    "falcon-rw": ("FalconForCausalLM", dict(tie_word_embeddings=True, **RW)),
    "falcon-rw-six-heads": ("FalconForCausalLM", dict(hidden_size=36, num_attention_heads=6, activation="silu", num_ln_in_parallel_attn=2, **RW)),
    "falcon-sequential-one-key": ("FalconForCausalLM", dict(parallel_attn=False, max_position_embeddings=12, **rope("dynamic", factor=2.0))),
    "falcon-parallel-own-keys": ("FalconForCausalLM", dict(multi_query=False, num_ln_in_parallel_attn=1)),
    "falcon-alibi-one-key": ("FalconForCausalLM", dict(alibi=True)),
    "falcon-layers": ("FalconModel", dict(alibi=True)),
    "falcon-sequence": ("FalconForSequenceClassification", dict(num_labels=3), dict(mask=False)),
    "falcon-tokens": ("FalconForTokenClassification", dict(num_labels=3, new_decoder_architecture=True, num_kv_heads=4)),
    "falcon-answers": ("FalconForQuestionAnswering", dict(bias=True)),
}


def generations():
    greedy = dict(max_new_tokens=10, do_sample=False)
    plain, left = {"input_ids": "input_ids"}, {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}
    for suffix, inputs in (("", plain), ("_left", left)):
        yield {"name": "greedy" + suffix, "options": greedy, "inputs": inputs}
        yield {"name": "beam3" + suffix, "options": {**greedy, "num_beams": 3}, "inputs": inputs}


def inputs_of(kind, config, rows=3, mask=True, left=False):
    """ids padded on the right, or the left, labels as the head takes them, and for causal models prompts padded on the left."""
    T, pad = 17, 1
    lengths = [17, 11, 14][:rows]
    column = torch.arange(T)
    attention = torch.stack([(column >= T - n if left else column < n).int() for n in lengths])
    ids = torch.where(attention.bool(), torch.randint(2, SIZES["vocab_size"], (rows, T)), pad)
    inputs = {"input_ids": ids} | ({"attention_mask": attention} if mask else {})
    labels, L = ids, config.num_labels
    left_mask = torch.stack([(torch.arange(9) >= 9 - n).int() for n in (9, 5, 7)])
    prompts = {"left.input_ids": torch.where(left_mask.bool(), torch.randint(2, SIZES["vocab_size"], (3, 9)), pad), "left.attention_mask": left_mask,
               "left.plain": torch.randint(10, SIZES["vocab_size"], (3, 7))}   # nothing that could be taken for padding
    if kind.endswith("DoubleHeadsModel"):   # three texts, of which one is chosen, by their last tokens or those that are named
        texts = {key: value[None].repeat(2, 1, 1) for key, value in inputs.items()}
        texts["input_ids"][1] = torch.where(attention.bool(), torch.randint(2, SIZES["vocab_size"], (rows, T)), pad)
        texts["labels"] = torch.where(attention.bool(), texts["input_ids"], -100)
        return texts | ({"mc_token_ids": torch.tensor([lengths, lengths]) - 1} if mask else {}) | {"mc_labels": torch.tensor([2, 0])} | prompts
    if kind.endswith("QuestionAnswering"):   # the last answer lies behind the text, which does not count
        return inputs | {"start_positions": torch.tensor([3, 0, T + 4][:rows]), "end_positions": torch.tensor([8, 0, T + 9][:rows])}
    if kind.endswith("Model") and not kind.endswith("LMHeadModel"):
        return inputs
    if kind.endswith("SequenceClassification"):
        multi = config.problem_type == "multi_label_classification"
        numbers = multi or L == 1 or config.problem_type == "regression"
        labels = torch.randint(0, L, (rows,)) if not numbers else torch.rand(rows, L).round() if multi else torch.randn(rows, L)
        return inputs | {"labels": labels}
    if kind.endswith("TokenClassification"):
        labels = torch.randint(0, L, (rows, T))
    inputs["labels"] = torch.where(attention.bool(), labels, -100)
    if kind.endswith("TokenClassification") or getattr(config, "output_router_logits", False):   # with the latter transformers cannot generate from masked prompts
        return inputs
    return inputs | prompts


def generated(model, inputs, chosen):
    """What `generate` gives for each of `chosen`: tokens, scores of beams, or of sampling the scores behind the first token, which are what is left of the logits."""
    expected = {}
    for g in chosen:
        given, options = {argument: inputs[stored] for argument, stored in g["inputs"].items()}, dict(g["options"])
        if "watermarking_config" in options:
            options["watermarking_config"] = transformers.WatermarkingConfig(**options["watermarking_config"])
        result = copy.deepcopy(model).generate(**given, **options, return_dict_in_generate=True, output_scores=True)
        if g.get("scores_only"):
            expected[f"generate.{g['name']}.scores"] = result.scores[0]
            continue
        expected[f"generate.{g['name']}.sequences"] = result.sequences
        if getattr(result, "sequences_scores", None) is not None:
            expected[f"generate.{g['name']}.sequences_scores"] = result.sequences_scores
    return expected


def make(folder, name, asked=None):
    """One case. `asked`: what to generate, where the head can; default: greedily and with beams."""
    kind, options, *rest = CASES[name]
    Model = getattr(transformers, kind)
    torch.manual_seed(sum(map(ord, name)))
    model = Model(Model.config_class(**copy.deepcopy({**SIZES, **options}))).eval()
    with torch.no_grad():
        for path, p in model.named_parameters():   # large enough that each of them matters; norms around 1
            p.copy_(torch.randn_like(p) * 0.15 + (1.0 if ("norm" in path or "ln_" in path) and "Gemma" not in kind else 0.0))
    directory = os.path.join(folder, name)
    experts = {"experts_implementation": "eager"} if hasattr(model.config, "num_experts_per_tok") else {}   # the default has no float64
    model.save_pretrained(directory)
    wide = copy.deepcopy(Model.from_pretrained(directory, **experts)).double().eval()   # what was saved, so that a weight that is lost is seen

    fresh = copy.deepcopy(wide)   # 'dynamic' positions remember the longest sequence that a model has seen
    inputs = inputs_of(kind, wide.config, **dict(*rest))
    given = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items() if not k.startswith("left.")}
    out = wide(**given)
    expected = {k: out[k] for k in ("logits", "start_logits", "end_logits", "last_hidden_state", "loss", "aux_loss", "mc_logits", "mc_loss") if out.get(k) is not None}
    if "loss" in expected:
        if "mc_loss" in expected:
            expected |= {"lm_loss": out.loss, "loss": out.loss + out.mc_loss}
        expected["loss"].backward()
        stored = load_file(os.path.join(directory, "model.safetensors"))   # GPT-NeoX has another name for its output in files
        # Named as in the file: what transformers holds fused, such as the experts of a layer, is stored apart.
        gradients = revert_weight_conversion(wide, {path: p.grad for path, p in wide.named_parameters() if p.grad is not None})
        expected |= {f"grad.{path if path in stored else path.replace('lm_head', 'embed_out')}": gradient for path, gradient in gradients.items()}
    chosen = [g for g in (generations() if asked is None else asked) if all(inputs[stored].dim() == 2 for stored in g["inputs"].values())] if "left.input_ids" in inputs else []
    # BLOOM's softmax is in float32 whatever the model is in, and there the mask of a float64 model is infinite: padding in front would be NaN.
    fresh = fresh.float() if "Bloom" in kind else fresh
    expected |= generated(fresh, inputs, chosen)

    flat = lambda tensors: {k: (v if v.is_floating_point() else v.int()).detach().to(torch.float32 if v.is_floating_point() else torch.int32).contiguous() for k, v in tensors.items()}
    save_file(flat(inputs), os.path.join(directory, "inputs.safetensors"))
    save_file(flat(expected), os.path.join(directory, "expected.safetensors"))
    with open(os.path.join(directory, "case.json"), "w") as f:
        json.dump({"name": name, "torch": torch.__version__, "transformers": transformers.__version__, "class": kind, "computed_in": "float64", "generate": chosen,
                   "inputs": {k: list(v.shape) for k, v in inputs.items()}, "expected": sorted(expected)}, f, indent=1)
    print(directory)


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(name not in CASES for name in sys.argv[2:]):
        sys.exit(f"usage: make.py FOLDER [NAME …]; names are {', '.join(CASES)}")
    torch.set_num_threads(1)
    for case in sys.argv[2:] or CASES:
        make(sys.argv[1], case)
