#!/usr/bin/env python3
"""Makes parity cases of encoders of transformers, as make.py does of causal language models: every head of every family, and the switches of their configurations.

    python3 test/parity/make_encoder.py FOLDER                 every case of CASES
    python3 test/parity/make_encoder.py FOLDER NAME [NAME …]   those

Needs torch, transformers and safetensors. `npm run parity -- FOLDER/*` compares.
"""
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

from make import generated

SMALL = dict(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56, max_position_embeddings=40, type_vocab_size=2,
             hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
SIZES = {
    "Bert": dict(SMALL, pad_token_id=0),
    "Roberta": dict(SMALL, pad_token_id=1, bos_token_id=0, eos_token_id=2),
    "XLMRoberta": dict(SMALL, pad_token_id=1, bos_token_id=0, eos_token_id=2),
    "Electra": dict(SMALL, embedding_size=24, pad_token_id=0),
    "Albert": dict(SMALL, embedding_size=16, pad_token_id=0, classifier_dropout_prob=0.0),
    "DistilBert": dict(vocab_size=97, dim=32, n_layers=2, n_heads=4, hidden_dim=56, max_position_embeddings=40, pad_token_id=0, dropout=0.0, attention_dropout=0.0, qa_dropout=0.0,
                       seq_classif_dropout=0.0),
}
LABELS3 = dict(num_labels=3)
HEADS = {
    "model": ("Model", {}),
    "mlm": ("ForMaskedLM", {}),
    "mlm-untied": ("ForMaskedLM", dict(tie_word_embeddings=False)),
    "pretraining": ("ForPreTraining", {}),
    "nsp": ("ForNextSentencePrediction", {}),
    "classes": ("ForSequenceClassification", dict(LABELS3, problem_type="single_label_classification")),
    "classes-guessed": ("ForSequenceClassification", {}),
    "regression": ("ForSequenceClassification", dict(num_labels=1)),
    "regression-of-3": ("ForSequenceClassification", dict(LABELS3, problem_type="regression")),
    "multi-label": ("ForSequenceClassification", dict(LABELS3, problem_type="multi_label_classification")),
    "multi-label-guessed": ("ForSequenceClassification", LABELS3),
    "choice": ("ForMultipleChoice", {}),
    "tokens": ("ForTokenClassification", dict(num_labels=5)),
    "qa": ("ForQuestionAnswering", {}),
    "causal": ("ForCausalLM", dict(is_decoder=True)),
    "causal-both-ways": ("ForCausalLM", {}),
}
FLOATING = ("regression", "multi-label")

# name: (class, options of its configuration, how its inputs differ)
CASES = {}
for family in SIZES:
    for head, (suffix, options) in HEADS.items():
        kind = "BertLMHeadModel" if (family, suffix) == ("Bert", "ForCausalLM") else family + suffix
        if hasattr(transformers, kind):
            CASES[f"{family.lower()}-{head}"] = (kind, options, "")
    for activation in {"Bert": ("gelu_new", "relu", "silu", "quick_gelu", "tanh", "gelu_10", "relu2", "relu6", "leaky_relu", "hardswish", "mish", "laplace", "sigmoid", "linear",
                                "gelu_fast", "gelu_accurate", "gelu_python")}.get(family, ("relu",)):
        CASES[f"{family.lower()}-{activation}"] = (f"{family}ForMaskedLM", {"activation" if family == "DistilBert" else "hidden_act": activation}, "")
    for inputs in ("bare", "positions", "mask4", "mask4-bool", "pads"):
        CASES[f"{family.lower()}-{inputs}"] = (f"{family}ForTokenClassification", dict(num_labels=2), inputs)
    CASES[f"{family.lower()}-no-pad"] = (f"{family}ForTokenClassification", dict(pad_token_id=None) if "oberta" not in family else dict(pad_token_id=3), "")
CASES |= {
    "bert-decoder": ("BertModel", dict(is_decoder=True, type_vocab_size=3, layer_norm_eps=1e-3), ""),
    "bert-decoder-mask4": ("BertForMaskedLM", dict(is_decoder=True), "mask4"),
    "electra-same-widths": ("ElectraForSequenceClassification", dict(embedding_size=32, num_labels=3), ""),
    "electra-pretraining-bare": ("ElectraForPreTraining", {}, "bare"),
    "electra-choice-plain": ("ElectraForMultipleChoice", dict(summary_use_proj=False, summary_activation="", summary_type="mean"), ""),
    "electra-choice-last": ("ElectraForMultipleChoice", dict(summary_type="last", summary_activation="tanh"), ""),
    "electra-choice-cls-index": ("ElectraForMultipleChoice", dict(summary_type="cls_index"), ""),
    "albert-groups": ("AlbertForMaskedLM", dict(num_hidden_layers=6, num_hidden_groups=3, inner_group_num=2), ""),
    "albert-uneven-groups": ("AlbertForPreTraining", dict(num_hidden_layers=5, num_hidden_groups=2), ""),
    "distilbert-sinusoids": ("DistilBertForMaskedLM", dict(sinusoidal_pos_embds=True), ""),
}


def random_inputs(kind, head, config, how):
    B, T, N, V, pad = 3, 12, 4, config.vocab_size, config.pad_token_id if config.pad_token_id is not None else 0
    rows = B * N if "MultipleChoice" in kind else B
    mask = torch.stack([(torch.arange(T) < T - (3 * row) % 8).int() for row in range(rows)])
    ids = torch.where(mask.bool(), torch.randint(4, V, (rows, T)), torch.full((rows, T), pad))
    inputs = {"input_ids": ids}
    if how == "pads":      # padding ids between others, and no mask that would hide them
        inputs["input_ids"] = torch.where(torch.rand(rows, T) < 0.2, torch.full_like(ids, pad), ids)
    elif how.startswith("mask4"):
        seen = (torch.rand(rows, 1, T, T) < 0.7) | torch.eye(T, dtype=torch.bool)
        inputs["attention_mask"] = seen if how == "mask4-bool" else torch.where(seen, torch.randn(rows, 1, T, T), torch.full((rows, 1, T, T), -1e4))
    elif how != "bare":
        inputs["attention_mask"] = mask
    if not kind.startswith("DistilBert") and how != "bare":
        inputs["token_type_ids"] = torch.randint(0, config.type_vocab_size, (rows, T))
    if how == "positions":
        inputs["position_ids"] = torch.stack([torch.randperm(config.max_position_embeddings)[:T] for _ in range(rows)])
    if "MultipleChoice" in kind:
        inputs = {name: v.view(B, N, T) for name, v in inputs.items()}

    words = torch.where(mask.bool() & (torch.rand(rows, T) < 0.6), torch.randint(4, V, (rows, T)), torch.full((rows, T), -100))
    if kind.endswith("Model") and "LMHead" not in kind:
        pass
    elif "SequenceClassification" in kind:
        floating = any(name in head for name in FLOATING)
        shape = (B,) if config.num_labels == 1 or not floating else (B, config.num_labels)
        inputs["labels"] = torch.randn(shape) if "regression" in head else torch.randint(0, 2, shape).float() if floating else torch.tensor([0, -100, config.num_labels - 1])
    elif "QuestionAnswering" in kind:
        inputs["start_positions"], inputs["end_positions"] = torch.tensor([-3, 2, T + 5]), torch.tensor([4, T, 7])
    elif "MultipleChoice" in kind:
        inputs["labels"] = torch.randint(0, N, (B,))
    elif "NextSentence" in kind:
        inputs["labels"] = torch.tensor([1, 0, 1])
    elif "TokenClassification" in kind:
        inputs["labels"] = torch.where(words < 0, words, words % config.num_labels)
    elif kind == "ElectraForPreTraining":
        inputs["labels"] = torch.randint(0, 2, (B, T))
    else:
        inputs["labels"] = words
        if "PreTraining" in kind:
            inputs["sentence_order_label" if kind.startswith("Albert") else "next_sentence_label"] = torch.tensor([0, 1, 1])
    return inputs


def generations(kind):
    greedy = dict(max_new_tokens=8, do_sample=False)
    plain, left = {"input_ids": "left.plain"}, {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}
    for suffix, inputs in (("", plain), ("_left", left)) if "CausalLM" in kind or "LMHead" in kind else ():
        yield {"name": "greedy" + suffix, "options": greedy, "inputs": inputs}
        yield {"name": "beam3" + suffix, "options": {**greedy, "num_beams": 3}, "inputs": inputs}


def make(folder, name, asked=None):
    """One case. `asked`: what to generate, where the head can; default: `generations`."""
    kind, options, how = CASES[name]
    Model = getattr(transformers, kind)
    family = next(family for family in sorted(SIZES, key=len, reverse=True) if kind.startswith(family))
    torch.manual_seed(sum(map(ord, name)))
    model = Model(Model.config_class(**{**SIZES[family], **options})).eval()
    with torch.no_grad():
        for path, p in model.named_parameters():   # large enough that each of them matters; norms around 1
            p.copy_(torch.randn_like(p) * 0.2 + (1.0 if "norm" in path.lower() and path.endswith("weight") else 0.0))
    directory = os.path.join(folder, name)
    model.save_pretrained(directory)
    wide = Model.from_pretrained(directory).double().eval()   # what was saved, so that a weight that is lost is seen
    inputs = random_inputs(kind, name.split("-", 1)[1], wide.config, how)
    chosen = list(generations(kind) if asked is None else asked)

    out = wide(**{k: v.double() if v.is_floating_point() else v for k, v in inputs.items()})
    expected = {field: out[field] for field in out.keys() if torch.is_tensor(out[field])}
    if "loss" in out:
        out.loss.backward()
        expected |= {f"grad.{path}": p.grad for path, p in wide.named_parameters() if p.grad is not None}
    if chosen:
        pad, V = wide.config.pad_token_id, wide.config.vocab_size
        left_mask = torch.stack([(torch.arange(9) >= 9 - n).int() for n in (9, 5, 7)])
        tokens = torch.randint(4, V, (3, 9))
        inputs |= {"left.plain": tokens, "left.input_ids": torch.where(left_mask.bool(), tokens, torch.full_like(tokens, pad)), "left.attention_mask": left_mask}
    expected |= generated(wide, inputs, chosen)

    flat = lambda tensors: {k: (v.float() if v.is_floating_point() else v.int()).detach().contiguous() for k, v in tensors.items()}
    save_file(flat(inputs), os.path.join(directory, "inputs.safetensors"))
    save_file(flat(expected), os.path.join(directory, "expected.safetensors"))
    with open(os.path.join(directory, "case.json"), "w") as f:
        json.dump({"name": name, "torch": torch.__version__, "transformers": transformers.__version__, "class": kind, "computed_in": "float64", "generate": chosen,
                   "inputs": {k: list(v.shape) for k, v in inputs.items()}, "expected": sorted(expected)}, f, indent=1)
    print(directory)


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(name not in CASES for name in sys.argv[2:]):
        sys.exit(f"usage: make_encoder.py FOLDER [NAME …]; names are {', '.join(CASES)}")
    torch.set_num_threads(1)
    for case in sys.argv[2:] or CASES:
        make(sys.argv[1], case)
