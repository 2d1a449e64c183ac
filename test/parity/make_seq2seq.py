#!/usr/bin/env python3
"""Makes parity cases of encoder-decoder models of transformers, as make.py does for causal models: BART, mBART, Marian, Pegasus, T5, mT5, with every head and switch.

    python3 test/parity/make_seq2seq.py FOLDER                 every case of CASES
    python3 test/parity/make_seq2seq.py FOLDER NAME [NAME …]   those

Needs torch, transformers and safetensors. `npm run parity -- FOLDER/*` compares.
"""
import copy
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

from make import generated

V = 101
BART = dict(vocab_size=V, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=48,
            max_position_embeddings=64, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
T5 = dict(vocab_size=V, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, relative_attention_num_buckets=8, relative_attention_max_distance=20, dropout_rate=0.0,
          decoder_start_token_id=0)
SIZES = {
    "Bart": dict(BART, activation_function="gelu"), "MBart": dict(BART, decoder_start_token_id=5),
    "Marian": dict(BART, pad_token_id=1, eos_token_id=2, decoder_start_token_id=1, forced_eos_token_id=None), "Pegasus": BART, "T5": T5, "MT5": T5,
}

# name: (class, options of its configuration beyond SIZES, what else is special)
CASES = {
    "bart": ("BartForConditionalGeneration", {}, {}),
    "bart-switches": ("BartForConditionalGeneration", dict(scale_embedding=True, encoder_attention_heads=2, encoder_layers=1, decoder_layers=3, activation_function="relu",
                                                           encoder_layerdrop=0.1, forced_eos_token_id=None), {"decoder": True}),
    "bart-tanh": ("BartForConditionalGeneration", dict(activation_function="tanh"), {}),
    "bart-untied": ("BartForConditionalGeneration", dict(tie_word_embeddings=False, scale_embedding=True), {}),
    "bart-layers": ("BartModel", {}, {}),
    "bart-layers-untied": ("BartModel", dict(tie_word_embeddings=False), {"decoder": True}),
    "bart-classes": ("BartForSequenceClassification", {}, {}),
    "bart-classes-named": ("BartForSequenceClassification", dict(id2label={0: "a", 1: "b", 2: "c", 3: "d"}, problem_type="single_label_classification", scale_embedding=True), {}),
    "bart-regression": ("BartForSequenceClassification", dict(num_labels=1), {}),
    "bart-regressions": ("BartForSequenceClassification", dict(num_labels=4, problem_type="regression"), {"labels": "numbers"}),
    "bart-multilabel": ("BartForSequenceClassification", dict(num_labels=5), {"labels": "bits"}),
    "bart-answers": ("BartForQuestionAnswering", {}, {}),
    "bart-alone": ("BartForCausalLM", {}, {}),
    "bart-alone-untied": ("BartForCausalLM", dict(tie_word_embeddings=False, scale_embedding=True, activation_function="silu"), {}),
    "mbart": ("MBartForConditionalGeneration", {}, {}),
    "mbart-switches": ("MBartForConditionalGeneration", dict(scale_embedding=True, activation_function="relu", decoder_attention_heads=8), {"decoder": True}),
    "mbart-untied": ("MBartForConditionalGeneration", dict(tie_word_embeddings=False), {}),
    "mbart-layers": ("MBartModel", {}, {}),
    "mbart-classes": ("MBartForSequenceClassification", dict(num_labels=4), {}),
    "mbart-answers": ("MBartForQuestionAnswering", {}, {}),
    "mbart-alone": ("MBartForCausalLM", dict(scale_embedding=True), {}),
    "marian": ("MarianMTModel", dict(scale_embedding=True, activation_function="silu"), {}),
    "marian-separate": ("MarianMTModel", dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=77), {}),
    "marian-separate-untied": ("MarianMTModel", dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=77, tie_word_embeddings=False), {"decoder": True}),
    "marian-untied": ("MarianMTModel", dict(tie_word_embeddings=False), {}),
    "marian-odd": ("MarianMTModel", dict(d_model=33, encoder_attention_heads=3, decoder_attention_heads=11), {}),
    "marian-layers": ("MarianModel", {}, {"decoder": True}),
    "marian-layers-separate": ("MarianModel", dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=77), {"decoder": True}),
    "marian-alone": ("MarianForCausalLM", {}, {}),
    "pegasus": ("PegasusForConditionalGeneration", {}, {}),
    "pegasus-switches": ("PegasusForConditionalGeneration", dict(scale_embedding=True, activation_function="relu", tie_word_embeddings=False), {"decoder": True}),
    "pegasus-layers": ("PegasusModel", {}, {"decoder": True}),
    "pegasus-alone": ("PegasusForCausalLM", {}, {}),
    "t5": ("T5ForConditionalGeneration", {}, {}),
    "t5-switches": ("T5ForConditionalGeneration", dict(num_decoder_layers=1, num_layers=3, d_kv=12, num_heads=3, feed_forward_proj="gelu", layer_norm_epsilon=1e-5), {"decoder": True}),
    "t5-unscaled": ("T5ForConditionalGeneration", dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False), {}),
    "t5-own-head": ("T5ForConditionalGeneration", dict(feed_forward_proj="gated-silu", tie_word_embeddings=False), {"untie": True}),
    "t5-own-head-scaled": ("T5ForConditionalGeneration", {}, {"untie": True}),
    "t5-odd-buckets": ("T5ForConditionalGeneration", dict(relative_attention_num_buckets=7, relative_attention_max_distance=9), {}),
    "t5-layers": ("T5Model", {}, {"decoder": True}),
    "t5-encoder": ("T5EncoderModel", dict(feed_forward_proj="gated-gelu"), {}),
    "t5-classes": ("T5ForSequenceClassification", dict(num_labels=3), {}),
    "t5-regression": ("T5ForSequenceClassification", dict(num_labels=1), {}),
    "t5-tokens": ("T5ForTokenClassification", dict(num_labels=5), {}),
    "t5-answers": ("T5ForQuestionAnswering", {}, {}),
    "mt5": ("MT5ForConditionalGeneration", {}, {}),
    "mt5-switches": ("MT5ForConditionalGeneration", dict(feed_forward_proj="gated-relu", tie_word_embeddings=False, scale_decoder_outputs=True), {"decoder": True}),
    "mt5-quick": ("MT5ForConditionalGeneration", dict(feed_forward_proj="gated-quick_gelu"), {}),
    "mt5-layers": ("MT5Model", {}, {"decoder": True}),
    "mt5-encoder": ("MT5EncoderModel", {}, {}),
    "mt5-classes": ("MT5ForSequenceClassification", dict(num_labels=3), {}),
    "mt5-tokens": ("MT5ForTokenClassification", {}, {}),
    "mt5-answers": ("MT5ForQuestionAnswering", {}, {}),
}


def generations(eos, target):
    """Of a model with an encoder. `left` has padding in front, `plain` behind."""
    greedy = dict(max_new_tokens=12, do_sample=False)
    sides = {"plain": {"input_ids": "input_ids", "attention_mask": "attention_mask"}, "left": {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}}
    for side, inputs in sides.items():
        yield {"name": "greedy_" + side, "options": greedy, "inputs": inputs}
        yield {"name": "beam4_" + side, "options": {**greedy, "num_beams": 4, "length_penalty": 1.0, "early_stopping": True}, "inputs": inputs}
    plain = sides["plain"]
    yield {"name": "beam3_lp06_nrng2", "options": {**greedy, "num_beams": 3, "length_penalty": 0.6, "no_repeat_ngram_size": 2, "num_return_sequences": 2}, "inputs": plain}
    yield {"name": "beam2_never", "options": {**greedy, "num_beams": 2, "length_penalty": 0.3, "early_stopping": "never"}, "inputs": plain}
    yield {"name": "forced", "options": {**greedy, "forced_bos_token_id": 7, "forced_eos_token_id": eos, "min_new_tokens": 4}, "inputs": plain}
    yield {"name": "beam3_forced", "options": {**greedy, "num_beams": 3, "forced_bos_token_id": 9, "forced_eos_token_id": eos, "repetition_penalty": 1.3}, "inputs": plain}
    if target == V:   # the processor takes ids of the source for ids of the target
        yield {"name": "source_ngrams", "options": {**greedy, "encoder_no_repeat_ngram_size": 2, "bad_words_ids": [[4], [8, 3]]}, "inputs": plain}
    yield {"name": "begun", "options": greedy, "inputs": {**plain, "decoder_input_ids": "begun"}}


def alone():
    """Of a decoder without an encoder."""
    greedy, plain, left = dict(max_new_tokens=10, do_sample=False), {"input_ids": "begun"}, {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}
    yield {"name": "greedy", "options": greedy, "inputs": plain}
    yield {"name": "beam3", "options": {**greedy, "num_beams": 3}, "inputs": plain}
    yield {"name": "greedy_left", "options": greedy, "inputs": left}
    yield {"name": "beam3_left", "options": {**greedy, "num_beams": 3}, "inputs": left}


def padded(length, sides, pad, low, high):
    """Random ids with padding on the side that each row has: (how many tokens, whether padding is in front)."""
    columns = torch.arange(length)
    mask = torch.stack([(columns >= length - n) if front else (columns < n) for n, front in sides]).int()
    ids = torch.randint(low, high, mask.shape)
    return torch.where(mask.bool(), ids, torch.full_like(ids, pad)), mask


def inputs_of(kind, config, special):
    pad, end = config.pad_token_id, config.eos_token_id
    low, target = 10, getattr(config, "decoder_vocab_size", config.vocab_size)
    ids, mask = padded(11, [(11, False), (7, False), (9, False)], pad, low, config.vocab_size)
    left, left_mask = padded(9, [(9, True), (5, True), (7, True)], pad, low, config.vocab_size)
    if kind.endswith("ForCausalLM"):
        ids, mask = padded(11, [(11, False), (7, False), (9, False)], pad, low, target)
        left, left_mask = padded(9, [(9, True), (5, True), (7, True)], pad, low, target)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask.bool(), ids, torch.full_like(ids, -100)), "left.input_ids": left, "left.attention_mask": left_mask,
                "begun": torch.randint(low, target, (3, 4))}
    inputs = {"input_ids": ids, "attention_mask": mask}
    if kind.endswith("SequenceClassification"):
        for row, n in enumerate((11, 7, 9)):   # two end tokens each, of which the last counts
            ids[row, n - 1] = ids[row, 2 + row] = end
        L = config.num_labels
        inputs["labels"] = {"numbers": lambda: torch.randn(3, L), "bits": lambda: torch.randint(0, 2, (3, L)).float(), None: lambda: torch.randn(3) if L == 1 else torch.randint(0, L, (3,))}[special.get("labels")]()
    elif kind.endswith("TokenClassification"):
        inputs["labels"] = torch.where(mask.bool(), torch.randint(0, config.num_labels, ids.shape), torch.full_like(ids, -100))
    elif kind.endswith("QuestionAnswering"):
        inputs |= {"start_positions": torch.tensor([2, 0, 40]), "end_positions": torch.tensor([5, 6, -3])}
    elif kind.endswith(("ForConditionalGeneration", "MTModel")):
        labels, label_mask = padded(7, [(7, False), (4, False), (6, False)], pad, low, target)
        labels[torch.arange(3), label_mask.sum(1) - 1] = end
        if kind.startswith("MBart"):
            labels[torch.arange(3), label_mask.sum(1) - 1] = torch.tensor([3, 4, 5])   # languages
        inputs |= {"labels": torch.where(label_mask.bool(), labels, torch.full_like(labels, -100)), "left.input_ids": left, "left.attention_mask": left_mask}
        inputs["begun"] = torch.cat([torch.full((3, 1), config.decoder_start_token_id), torch.randint(low, target, (3, 2))], 1)
    if special.get("decoder"):
        target_ids, target_mask = padded(7, [(7, False), (5, False), (6, False)], pad, low, target)
        inputs |= {"decoder_input_ids": target_ids, "decoder_attention_mask": target_mask}
    return inputs


def make(folder, name, asked=None):
    """One case. `asked`: what to generate, where the head can; default: `generations`."""
    kind, options, special = CASES[name]
    Model = getattr(transformers, kind)
    torch.manual_seed(sum(map(ord, name)))
    family = next(f for f in ("MBart", "Bart", "Marian", "Pegasus", "MT5", "T5") if kind.startswith(f))
    sinusoids = family in ("Marian", "Pegasus")
    model = Model(Model.config_class(**{**SIZES[family], **options})).eval()
    if special.get("untie"):
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    with torch.no_grad():
        for path, p in list(model.named_parameters()) + [(n, b) for n, b in model.named_buffers() if n == "final_logits_bias"]:
            if not (sinusoids and "embed_positions" in path):   # large enough that each of them matters; norms around 1
                p.copy_(torch.randn_like(p) * 0.2 + (1.0 if "norm" in path else 0.0))
    directory = os.path.join(folder, name)
    model.save_pretrained(directory)
    wide = copy.deepcopy(Model.from_pretrained(directory)).double().eval()   # what was saved, so that a weight that is lost is seen

    inputs = inputs_of(kind, wide.config, special)
    given = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items() if "." not in k and k != "begun"}
    out = wide(**given)
    names = ("loss", "logits", "last_hidden_state", "encoder_last_hidden_state", "start_logits", "end_logits")
    expected = {n: out[n] for n in names if n in out}
    if "loss" in out:
        out.loss.backward()
        expected |= {f"grad.{path}": p.grad for path, p in wide.named_parameters() if p.grad is not None and not (sinusoids and "embed_positions" in path)}
    wide.zero_grad()
    target = getattr(wide.config, "decoder_vocab_size", wide.config.vocab_size)
    usual = alone() if kind.endswith("ForCausalLM") else generations(wide.config.eos_token_id, target)
    chosen = [] if "left.input_ids" not in inputs else list(usual if asked is None else asked)
    expected |= generated(wide, inputs, chosen)

    flat = lambda tensors: {k: (v if v.is_floating_point() else v.int()).detach().to(torch.float32 if v.is_floating_point() else torch.int32).contiguous().clone() for k, v in tensors.items()}
    save_file(flat(inputs), os.path.join(directory, "inputs.safetensors"))
    save_file(flat(expected), os.path.join(directory, "expected.safetensors"))
    with open(os.path.join(directory, "case.json"), "w") as f:
        json.dump({"name": name, "torch": torch.__version__, "transformers": transformers.__version__, "class": kind, "computed_in": "float64", "generate": chosen,
                   "inputs": {k: list(v.shape) for k, v in inputs.items()}, "expected": sorted(expected)}, f, indent=1)
    print(directory)


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(name not in CASES for name in sys.argv[2:]):
        sys.exit(f"usage: make_seq2seq.py FOLDER [NAME …]; names are {', '.join(CASES)}")
    torch.set_num_threads(1)
    for case in sys.argv[2:] or CASES:
        make(sys.argv[1], case)
