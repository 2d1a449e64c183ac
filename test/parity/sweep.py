#!/usr/bin/env python3
"""Makes parity cases of random configurations: for each family every switch that its configuration has, drawn anew for each case, with heads and ways to generate likewise.

    python3 test/parity/sweep.py FOLDER [--count N] [--seed S] [FAMILY …]

N cases of each family (default 5). The same seed gives the same cases. What transformers itself refuses or cannot run is drawn again and said.
Needs torch, transformers and safetensors. `npm run parity -- FOLDER/*` compares.
"""
import argparse
import json
import os
import random
import shutil
import traceback
import warnings

import torch
import transformers
from safetensors.torch import load_file

import make
import make_encoder
import make_seq2seq

ACTIVATIONS = [name for name in transformers.activations.ACT2CLS if name not in ("prelu", "xielu")]   # those have weights of their own
EPS = [1e-3, 1e-5, 1e-6, 1e-12]
YES_NO = [True, False]
LONG = [1.5, 3.0, 6.0, 12.0, 2.0, 7.0, 9.0, 4.0]


def positions(r, dim, kinds=("default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"), part=None):
    """Rotary parameters of one kind, in the form of transformers 5 or the older one. dim: coordinates that turn."""
    kind, theta = r.choice(kinds), r.choice([100.0, 500.0, 10000.0, 1e6])
    given = {
        "default": lambda: r.choice([{}, {"partial_rotary_factor": 0.5}]), "linear": lambda: {"factor": r.choice([1.5, 4.0])}, "dynamic": lambda: {"factor": r.choice([2.0, 3.5])},
        "llama3": lambda: {"factor": r.choice([4.0, 8.0]), "low_freq_factor": r.choice([0.5, 1.0]), "high_freq_factor": r.choice([2.0, 4.0]),
                           "original_max_position_embeddings": r.choice([16, 32])},
        "yarn": lambda: {"factor": r.choice([2.0, 8.0]), "original_max_position_embeddings": r.choice([16, 32])} | r.choice([
            {}, {"attention_factor": 1.3}, {"beta_fast": 16, "beta_slow": 2}, {"mscale": 0.7, "mscale_all_dim": 1.0}, {"mscale": 0.7}, {"truncate": False}]),
        "longrope": lambda: {"short_factor": LONG[:dim // 2][::-1], "long_factor": LONG[:dim // 2], "original_max_position_embeddings": r.choice([12, 48])} | r.choice([
            {}, {"factor": 6.0}, {"attention_factor": 1.3}]),
        "proportional": lambda: {"partial_rotary_factor": r.choice([0.5, 0.75]), "factor": r.choice([1.0, 2.0])},
    }[kind]()
    longest = {"max_position_embeddings": 12} if kind == "dynamic" and r.random() < 0.7 else {}
    if part and kind != "proportional":
        given["partial_rotary_factor"] = part
    if r.random() < 0.5:
        return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **given}} | longest
    return {"rope_theta": theta, "rope_scaling": {"rope_type": kind, **given} if kind != "default" or given else None} | longest


def drawn(r, **values):
    """Each switch left as it is, or one of its values."""
    return {key: r.choice(list(of)) for key, of in values.items() if r.random() < 0.6}


def heads(r, options, dim=(6, 8, 12, 16)):
    H = r.choice([2, 4, 8])
    options |= {"num_attention_heads": H, "num_key_value_heads": r.choice([h for h in (1, 2, 4, 8) if H % h == 0]), "hidden_size": r.choice([32, 48])}
    if r.random() < 0.7:
        options["head_dim"] = r.choice(dim)
    return options.get("head_dim", options["hidden_size"] // H)


COMMON = dict(hidden_act=ACTIVATIONS, rms_norm_eps=EPS, tie_word_embeddings=YES_NO, num_hidden_layers=[1, 3], intermediate_size=[33, 40], pad_token_id=[-1, 0, 3, 7, 1])
MIXTURE = dict(num_experts_per_tok=[1, 2, 3], router_aux_loss_coef=[0.1, 0.9], output_router_logits=YES_NO)


def llama(r):
    o = drawn(r, **COMMON, attention_bias=YES_NO, mlp_bias=YES_NO)
    return o | positions(r, heads(r, o))


def mistral(r):
    o = drawn(r, **COMMON, sliding_window=[None, 3, 5, 30])
    return o | positions(r, heads(r, o))


def types(r, o, n):
    return {"layer_types": [r.choice(["full_attention", "sliding_attention"]) for _ in range(n)]} if r.random() < 0.5 else {}


def qwen2(r):
    o = drawn(r, **COMMON, use_sliding_window=YES_NO, sliding_window=[3, 5, 30], max_window_layers=[0, 1, 2])
    if o.get("use_sliding_window"):
        o |= types(r, o, o.get("num_hidden_layers", 2))
    return o | positions(r, heads(r, o))


def qwen3(r):
    o = qwen2(r) | drawn(r, attention_bias=YES_NO)
    return o if "head_dim" in o else o | {"head_dim": o["hidden_size"] // o["num_attention_heads"]}


def gemma(r):
    o = drawn(r, **COMMON, attention_bias=YES_NO)
    heads(r, o)
    o.setdefault("head_dim", 8)
    return o | positions(r, o["head_dim"]) | drawn(r, use_bidirectional_attention=[None, False])


def gemma2(r):
    o = gemma(r) | drawn(r, hidden_activation=ACTIVATIONS, query_pre_attn_scalar=[3, 8, 100], attn_logit_softcapping=[None, 0.7, 5.0], final_logit_softcapping=[None, 2.0, 30.0],
                         sliding_window=[7, 9, 30])
    o.pop("hidden_act", None)
    return o | types(r, o, o.get("num_hidden_layers", 2))


def phi3(r):
    o = drawn(r, **COMMON, sliding_window=[None, 5, 30], resid_pdrop=[0.0])
    H = r.choice([2, 4])
    o |= {"num_attention_heads": H, "num_key_value_heads": r.choice([h for h in (1, 2, 4, None) if h is None or H % h == 0]), "hidden_size": r.choice([32, 64])}
    part = r.choice([None, 0.5])
    return o | {"original_max_position_embeddings": r.choice([12, 48]), "max_position_embeddings": 96} | positions(r, int(o["hidden_size"] // H * (part or 1)), ("default", "longrope"), part)


def mixtral(r):
    o = drawn(r, **COMMON, **MIXTURE, sliding_window=[None, 5, 30], router_jitter_noise=[0.1]) | {"num_local_experts": r.choice([3, 4, 6])}
    return o | positions(r, heads(r, o))


def qwen_moe(r):
    return drawn(r, **MIXTURE, norm_topk_prob=YES_NO, decoder_sparse_step=[1, 2], mlp_only_layers=[[], [0], [1]]) | {"num_experts": r.choice([3, 5]), "num_experts_per_tok": r.choice([1, 3]),
                                                                                                                     "moe_intermediate_size": r.choice([20, 24])}


def qwen2_moe(r):
    return qwen2(r) | qwen_moe(r) | {"shared_expert_intermediate_size": r.choice([24, 40])} | drawn(r, qkv_bias=YES_NO)


def qwen3_moe(r):
    o = qwen3(r) | qwen_moe(r)
    o.pop("layer_types", None)
    return o


def gpt2(r):
    return make.GPT2 | drawn(r, activation_function=ACTIVATIONS, layer_norm_epsilon=EPS, tie_word_embeddings=YES_NO, n_inner=[None, 40], n_layer=[1, 3], n_head=[2, 8],
                             scale_attn_weights=YES_NO, scale_attn_by_inverse_layer_idx=YES_NO, summary_activation=["tanh", "relu", None], pad_token_id=[None, 0, 7])


def opt(r):
    return make.OPT | drawn(r, activation_function=ACTIVATIONS, tie_word_embeddings=YES_NO, num_hidden_layers=[1, 3], num_attention_heads=[2, 8], do_layer_norm_before=YES_NO,
                            _remove_final_layer_norm=YES_NO, word_embed_proj_dim=[20, 40, 32], enable_bias=YES_NO, layer_norm_elementwise_affine=YES_NO, pad_token_id=[None, 0, 7], layerdrop=[0.3])


def gpt_neox(r):
    o = drawn(r, hidden_act=ACTIVATIONS, layer_norm_eps=EPS, tie_word_embeddings=YES_NO, num_hidden_layers=[1, 3], use_parallel_residual=YES_NO, attention_bias=YES_NO,
              attention_dropout=[0.0], classifier_dropout=[0.3]) | {"num_attention_heads": 2}
    if r.random() < 0.4:
        return o | drawn(r, rotary_pct=[0.25, 0.5, 1.0], rotary_emb_base=[500, 10000])
    part = r.choice([0.25, 0.5, 0.75, 1.0])
    return o | positions(r, int(16 * part), ("default", "linear", "dynamic", "llama3", "yarn", "longrope"), part)


def gptj(r):
    return drawn(r, activation_function=ACTIVATIONS, layer_norm_epsilon=EPS, tie_word_embeddings=YES_NO, n_inner=[None, 40], n_layer=[1, 3], n_head=[2, 4]) | {"rotary_dim": r.choice([2, 4, 6, 8])}


def bloom(r):
    return drawn(r, layer_norm_epsilon=EPS, tie_word_embeddings=YES_NO, n_layer=[1, 3], n_head=[2, 8], apply_residual_connection_post_layernorm=YES_NO, pretraining_tp=[1, 2],
                 slow_but_exact=YES_NO)


def falcon(r):
    o = drawn(r, activation=ACTIVATIONS, layer_norm_epsilon=EPS, tie_word_embeddings=YES_NO, num_hidden_layers=[1, 3], alibi=YES_NO, bias=YES_NO, ffn_hidden_size=[40, None],
              multi_query=YES_NO, num_attention_heads=[2, 8])
    if r.random() < 0.5:
        o |= {"new_decoder_architecture": True, "num_kv_heads": r.choice([1, 2])} | drawn(r, num_ln_in_parallel_attn=[1, 2])
    else:
        o |= drawn(r, parallel_attn=YES_NO)
    return o | positions(r, 32 // o.get("num_attention_heads", 4))


CAUSAL, SEQUENCE, TOKENS, ANSWERS, LAYERS = "ForCausalLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "Model"
ALL = [CAUSAL, CAUSAL, CAUSAL, SEQUENCE, SEQUENCE, TOKENS, ANSWERS, LAYERS]
WITHOUT_ANSWERS, WITHOUT_TOKENS = [head for head in ALL if head != ANSWERS], [head for head in ALL if head != TOKENS]
DECODERS = {
    "llama": ("Llama", llama, ALL), "mistral": ("Mistral", mistral, ALL), "qwen2": ("Qwen2", qwen2, ALL), "qwen3": ("Qwen3", qwen3, ALL), "gemma": ("Gemma", gemma, WITHOUT_ANSWERS),
    "gemma2": ("Gemma2", gemma2, WITHOUT_ANSWERS), "phi3": ("Phi3", phi3, WITHOUT_ANSWERS), "mixtral": ("Mixtral", mixtral, ALL), "qwen2_moe": ("Qwen2Moe", qwen2_moe, ALL),
    "qwen3_moe": ("Qwen3Moe", qwen3_moe, ALL), "gpt2": ("GPT2", gpt2, ["LMHeadModel", "LMHeadModel", "DoubleHeadsModel"] + ALL[3:]), "opt": ("OPT", opt, WITHOUT_TOKENS),
    "gpt_neox": ("GPTNeoX", gpt_neox, ALL), "gptj": ("GPTJ", gptj, WITHOUT_TOKENS), "bloom": ("Bloom", bloom, ALL), "falcon": ("Falcon", falcon, ALL),
}


def labels(r):
    count = r.choice([1, 2, 3, 5])
    kinds = [None, "regression", "multi_label_classification"] + (["single_label_classification"] if count > 1 else [])
    return {"num_labels": count, "problem_type": r.choice(kinds)}


PENALTIES = dict(repetition_penalty=[0.8, 1.3], no_repeat_ngram_size=[1, 2, 3], min_new_tokens=[3, 6], min_length=[5, 14], bad_words_ids=[[[4], [8, 3], [20]], [[5, 6]]],
                 suppress_tokens=[[3, 9, 44]], begin_suppress_tokens=[[7, 8, 9]], sequence_bias=[[[[5], 3.0], [[7, 8], -4.0]]], exponential_decay_length_penalty=[[3, 1.2]],
                 renormalize_logits=[True], remove_invalid_values=[True], forced_eos_token_id=[7])
SAMPLING = dict(temperature=[0.5, 1.7], top_k=[1, 5, 30], top_p=[0.3, 0.9], min_p=[0.05, 0.3], typical_p=[0.4, 0.9], epsilon_cutoff=[0.005, 0.02], eta_cutoff=[0.01, 0.1], top_h=[0.4, 0.9])


def generations(r, inputs, more=None, guided=False):
    """Of greedy search and beams the texts, of sampling what is left of the logits. Several ids end a text, so that texts end at all; none of them is forced to begin it."""
    ends = {"eos_token_id": r.sample(range(10, 90), 8)}
    for name, given in inputs.items():
        penalties = drawn(r, **PENALTIES, **(more or {})) if r.random() < 0.7 else {}
        if name == "left":   # whether padding counts as repeated depends on the version of transformers
            penalties.pop("repetition_penalty", None)
        penalties = dict(r.sample(sorted(penalties.items(), key=lambda item: item[0]), min(len(penalties), 3)))
        options = {"do_sample": False, "max_new_tokens": r.choice([6, 10]), **penalties} | r.choice([{}, ends])
        yield {"name": "greedy_" + name, "options": options, "inputs": given}
        if guided and r.random() < 0.5:
            against = r.choice([{}, {"negative_prompt_ids": "left.input_ids"}])
            yield {"name": "guided_" + name, "options": options | {"guidance_scale": r.choice([0.5, 1.5, 3.0])}, "inputs": given | against}
        if r.random() < 0.3:
            mark = drawn(r, greenlist_ratio=[0.5], bias=[1.0, 4.0], hashing_key=[77], seeding_scheme=["selfhash"], context_width=[2])
            yield {"name": "marked_" + name, "options": options | {"watermarking_config": mark}, "inputs": given}
        beams = r.choice([2, 3, 5])
        yield {"name": "beams_" + name, "options": options | {"num_beams": beams, "num_return_sequences": r.randint(1, beams)} | drawn(
            r, length_penalty=[-1.0, 0.0, 0.6, 2.0], early_stopping=[True, False, "never"]), "inputs": given}
        warped = drawn(r, **SAMPLING)
        yield {"name": "sampled_" + name, "inputs": given, "scores_only": True,
               "options": {"do_sample": True, "max_new_tokens": 1, "top_k": 0} | {k: v for k, v in penalties.items() if k != "forced_eos_token_id"} | dict(r.sample(sorted(warped.items()), min(len(warped), 3)))}


PLAIN = {"input_ids": "left.plain"}
LEFT = {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}


def decoder(r, folder, family, index):
    prefix, switches, kinds = DECODERS[family]
    head, options, inputs = r.choice(kinds), switches(r), {"mask": r.random() < 0.7, "left": False}
    if head in (SEQUENCE, TOKENS):
        options |= labels(r)
        options |= {"problem_type": None} if head == TOKENS else {}
        inputs["left"] = head == SEQUENCE and inputs["mask"] and r.random() < 0.4
        if options.get("pad_token_id", 1) is None and head == SEQUENCE:
            inputs |= {"rows": 1, "mask": False, "left": False}
    name = f"{family}-{index}-{head.removeprefix('For')}".lower()
    make.CASES[name] = (prefix + head, options, inputs)
    if head == CAUSAL and options.get("pad_token_id") == -1:   # which transformers fills with, and nobody can read
        options["pad_token_id"] = 0
    # Where positions follow from the length of the text, guidance in transformers leaves what it has cached of the other text as it was.
    kind = (options.get("rope_parameters") or options.get("rope_scaling") or {}).get("rope_type")
    make.make(folder, name, list(generations(r, {"plain": PLAIN, "left": LEFT}, guided=kind not in ("dynamic", "longrope"))))


ENCODER_SWITCHES = dict(hidden_act=ACTIVATIONS, layer_norm_eps=EPS, tie_word_embeddings=YES_NO, num_hidden_layers=[1, 3], num_attention_heads=[2, 8], type_vocab_size=[1, 3], classifier_dropout=[0.3],
                        is_decoder=YES_NO, pad_token_id=[0, 3, 5])


def encoder(r, folder, family, index):
    suffixes = [s for s, _ in make_encoder.HEADS.values() if hasattr(transformers, family + s) or (family, s) == ("Bert", "ForCausalLM")]
    suffix = r.choice(suffixes)
    options = drawn(r, **ENCODER_SWITCHES)
    if family == "DistilBert":
        renamed = {"hidden_act": "activation", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
        options = {renamed.get(k, k): v for k, v in options.items() if k not in ("layer_norm_eps", "type_vocab_size", "classifier_dropout", "is_decoder")} | drawn(r, sinusoidal_pos_embds=YES_NO)
    elif family == "Albert":
        options = {k: v for k, v in options.items() if k not in ("classifier_dropout", "is_decoder")} | drawn(
            r, num_hidden_groups=[1, 2], inner_group_num=[1, 2], embedding_size=[16, 32], classifier_dropout_prob=[0.2])
        options["num_hidden_layers"] = r.choice([2, 4])
    elif family == "Electra":
        options |= drawn(r, embedding_size=[16, 32], summary_type=["first", "last", "mean", "cls_index"], summary_activation=ACTIVATIONS + [""], summary_use_proj=YES_NO)
    how = r.choice(["", "", "bare", "positions", "mask4", "mask4-bool", "pads"])
    head = suffix
    if suffix == SEQUENCE:
        chosen = labels(r)
        options |= chosen
        head = {"regression": "regression", "multi_label_classification": "multi-label"}.get(chosen["problem_type"], "regression" if chosen["num_labels"] == 1 else "classes")
    elif suffix == TOKENS:
        options["num_labels"] = r.choice([1, 2, 5])
    if suffix == CAUSAL or options.get("is_decoder") or suffix == "ForMultipleChoice":
        how = ""
    if suffix == CAUSAL and "pad_token_id" in options:
        options["pad_token_id"] = 3   # none of the prompts' tokens
    if family == "Bert" and suffix == CAUSAL:
        suffix = "LMHeadModel"
    name = f"{family}-{head}-{index}".lower()
    make_encoder.CASES[name] = (family + suffix, options, how)
    sides = {"plain": {"input_ids": "left.plain"}, "left": LEFT}
    make_encoder.make(folder, name, list(generations(r, sides)) if suffix in (CAUSAL, "LMHeadModel") else [])


def bart_like(r, family):
    o = drawn(r, activation_function=ACTIVATIONS, scale_embedding=YES_NO, tie_word_embeddings=YES_NO, encoder_layers=[1, 3], decoder_layers=[1, 3], encoder_attention_heads=[2, 8],
              decoder_attention_heads=[2, 8], encoder_ffn_dim=[33], decoder_ffn_dim=[33], classifier_dropout=[0.2], encoder_layerdrop=[0.1], decoder_layerdrop=[0.1], max_position_embeddings=[40],
              forced_eos_token_id=[None, 2, 5])
    if family in ("Marian", "Pegasus"):
        o.pop("classifier_dropout", None)
    if family == "Marian" and r.random() < 0.4:
        o |= {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 77}
    return o


def t5_like(r, family):
    kinds = ["relu", "gelu", "gated-gelu", "gated-silu", "gated-relu", "gated-gelu_new", "silu", "gelu_new"] + ["gated-" + r.choice(ACTIVATIONS), r.choice(ACTIVATIONS)]
    return drawn(r, feed_forward_proj=kinds, tie_word_embeddings=YES_NO, d_kv=[5, 12], num_heads=[2, 3], num_layers=[1, 3], num_decoder_layers=[1, 3], d_ff=[33], layer_norm_epsilon=EPS,
                 relative_attention_num_buckets=[4, 7, 16], relative_attention_max_distance=[9, 40], classifier_dropout=[0.2], scale_decoder_outputs=YES_NO)


SEQ2SEQ = {
    "Bart": ["ForConditionalGeneration"] * 3 + [SEQUENCE, SEQUENCE, ANSWERS, CAUSAL, LAYERS], "MBart": ["ForConditionalGeneration"] * 3 + [SEQUENCE, ANSWERS, CAUSAL, LAYERS],
    "Marian": ["MTModel"] * 3 + [CAUSAL, LAYERS], "Pegasus": ["ForConditionalGeneration"] * 3 + [CAUSAL, LAYERS],
    "T5": ["ForConditionalGeneration"] * 3 + [SEQUENCE, TOKENS, ANSWERS, LAYERS, "EncoderModel"], "MT5": ["ForConditionalGeneration"] * 3 + [SEQUENCE, TOKENS, ANSWERS, LAYERS, "EncoderModel"],
}


def seq2seq(r, folder, family, index):
    head = r.choice(SEQ2SEQ[family])
    options = (t5_like if family in ("T5", "MT5") else bart_like)(r, family)
    special = {"decoder": r.random() < 0.4 and head not in (CAUSAL, SEQUENCE, ANSWERS, TOKENS, "EncoderModel")}
    special["decoder"] |= head == LAYERS and family not in ("Bart", "MBart")
    if family in ("T5", "MT5") and head == "ForConditionalGeneration" and r.random() < 0.3:
        special["untie"] = True
    if head == SEQUENCE:
        chosen = labels(r)
        options |= chosen
        special["labels"] = {"regression": "numbers", "multi_label_classification": "bits"}.get(chosen["problem_type"])
    elif head == TOKENS:
        options["num_labels"] = r.choice([2, 5])
    name = f"{family}-{index}-{head}".lower()
    make_seq2seq.CASES[name] = (family + head, options, special)
    if head == CAUSAL:
        chosen = generations(r, {"plain": {"input_ids": "begun"}, "left": LEFT})
    else:
        more = {} if "decoder_vocab_size" in options else dict(encoder_repetition_penalty=[0.7, 1.4], encoder_no_repeat_ngram_size=[1, 2], forced_bos_token_id=[7])
        chosen = generations(r, {"plain": {"input_ids": "input_ids", "attention_mask": "attention_mask"}, "left": LEFT}, more)
    make_seq2seq.make(folder, name, list(chosen))


def require_conditioned(directory):
    """Raises ValueError where PyTorch's own float32 does not keep half of the bounds of a comparison: gradients that are differences of nearly equal numbers."""
    with open(os.path.join(directory, "case.json")) as f:
        kind = json.load(f)["class"]
    inputs, expected = (load_file(os.path.join(directory, name + ".safetensors")) for name in ("inputs", "expected"))
    model = getattr(transformers, kind).from_pretrained(directory).eval()
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    given = {k: v if v.is_floating_point() else v.bool() if v.dim() == 4 else v.long() for k, v in inputs.items() if "." not in k and k != "begun"}
    gradients = {key: value for key, value in expected.items() if key.startswith("grad.")}
    if not gradients or kind.startswith("GPT2Double"):
        return
    model(**given).loss.backward()
    largest = max(value.abs().max() for value in gradients.values())
    for path, p in model.named_parameters():
        wanted = gradients.get("grad." + path)
        if wanted is not None and p.grad is not None and (p.grad - wanted).abs().max() > 0.5 * max(1e-4 * wanted.abs().max(), 1e-6 * largest):
            raise ValueError(f"float32 does not hold {path}")


FAMILIES = {**{name: decoder for name in DECODERS}, **{name: encoder for name in make_encoder.SIZES}, **{name: seq2seq for name in SEQ2SEQ}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    unknown = [name for name in given.families if name not in FAMILIES]
    if unknown:
        parser.error(f"not known: {', '.join(unknown)}; families are {', '.join(FAMILIES)}")
    for family in given.families or FAMILIES:
        r, index, refused = random.Random(f"{given.seed} {family}"), 0, 0
        while index < given.count and refused < 20 * given.count:
            before = set(os.listdir(given.folder)) if os.path.isdir(given.folder) else set()
            try:
                FAMILIES[family](r, given.folder, family, index)
                for name in set(os.listdir(given.folder)) - before:
                    require_conditioned(os.path.join(given.folder, name))
                index += 1
            except Exception as error:   # a combination that transformers does not have, or that no float32 computes well
                refused += 1
                print(f"  {family}: drawn again: {type(error).__name__}: {str(error).strip().splitlines()[-1][:160] if str(error).strip() else ''}")
                if os.environ.get("SWEEP_TRACE"):
                    traceback.print_exc()
                for left in set(os.listdir(given.folder)) - before if os.path.isdir(given.folder) else ():
                    shutil.rmtree(os.path.join(given.folder, left))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    main()
