#!/usr/bin/env python3
"""Makes parity cases of adapters of peft: a small random base, an adapter with random weights, and what both compute together in float64.

    python3 test/parity/make_peft.py FOLDER [NAME …]     every case of CASES, or those
    python3 test/parity/make_peft.py --load DIRECTORY …  loads base/ and adapter/ as warpweft saved them and compares with expected.safetensors

Needs torch, transformers, peft and safetensors. `npm run parity -- FOLDER/*` compares.
"""
import json
import os
import shutil
import sys
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")

LLAMA = dict(vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
             bos_token_id=0, eos_token_id=1, pad_token_id=1)
GPT2 = dict(vocab_size=67, n_positions=64, n_embd=32, n_layer=3, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=1)
BERT = dict(vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0)
T5 = dict(vocab_size=67, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=0)
BART = dict(vocab_size=67, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=48, decoder_ffn_dim=48, encoder_attention_heads=4, decoder_attention_heads=4,
            max_position_embeddings=64, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
BASES = {
    "llama": ("LlamaForCausalLM", LLAMA), "llama-biases": ("LlamaForCausalLM", dict(LLAMA, attention_bias=True, mlp_bias=True)),
    "llama-tied": ("LlamaForCausalLM", dict(LLAMA, tie_word_embeddings=True)), "qwen3": ("Qwen3ForCausalLM", dict(LLAMA, head_dim=16)),
    "mistral": ("MistralForCausalLM", dict(LLAMA, sliding_window=6)), "gpt2": ("GPT2LMHeadModel", GPT2), "opt": ("OPTForCausalLM", dict(
        vocab_size=67, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, dropout=0.0, word_embed_proj_dim=32)),
    "gemma": ("GemmaForCausalLM", dict(LLAMA, head_dim=8)), "neox": ("GPTNeoXForCausalLM", dict(
        vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, attention_dropout=0.0, hidden_dropout=0.0)),
    "bert-cls": ("BertForSequenceClassification", dict(BERT, num_labels=3)), "bert-tokens": ("BertForTokenClassification", dict(BERT, num_labels=5)),
    "bert-qa": ("BertForQuestionAnswering", BERT), "bert-mlm": ("BertForMaskedLM", BERT), "roberta-cls": ("RobertaForSequenceClassification", dict(BERT, num_labels=3, pad_token_id=1)),
    "t5": ("T5ForConditionalGeneration", T5), "bart": ("BartForConditionalGeneration", BART),
}


def lora(base, **options):
    return base, peft.LoraConfig, {"r": 4, "lora_alpha": 6, **options}


CASES = {
    "lora-llama": lora("llama", target_modules=["q_proj", "v_proj", "down_proj"]),
    "lora-llama-usual-targets": lora("llama"),
    "lora-llama-all-linear": lora("llama", target_modules="all-linear", r=2),
    "lora-llama-regex": lora("llama", target_modules=r".*layers\.(0|2)\.self_attn\.[qk]_proj"),
    "lora-llama-layers": lora("llama", target_modules=["q_proj", "up_proj"], layers_to_transform=[1], exclude_modules=["layers.1.mlp.up_proj"]),
    "lora-llama-layers-pattern": lora("llama", target_modules=["o_proj"], layers_to_transform=[0, 2], layers_pattern="layers"),
    "lora-llama-patterns": lora("llama", target_modules=["q_proj", "k_proj", "gate_proj"], rank_pattern={"k_proj": 3, r"layers\.1\.self_attn\.q_proj": 2}, alpha_pattern={"gate_proj": 11}),
    "lora-llama-rslora": lora("llama", target_modules=["q_proj", "o_proj"], use_rslora=True),
    "lora-llama-dora": lora("llama", target_modules=["q_proj", "down_proj"], use_dora=True),
    "lora-llama-dora-rslora-biases": lora("llama-biases", target_modules=["v_proj", "up_proj"], use_dora=True, use_rslora=True),
    "lora-llama-bias-all": lora("llama-biases", target_modules=["q_proj"], bias="all"),
    "lora-llama-bias-lora-only": lora("llama-biases", target_modules=["q_proj", "down_proj"], bias="lora_only"),
    "lora-llama-lora-bias": lora("llama-biases", target_modules=["q_proj", "down_proj"], lora_bias=True),
    "lora-llama-embedding": lora("llama", target_modules=["embed_tokens", "q_proj"]),
    "lora-llama-embedding-tied": lora("llama-tied", target_modules=["embed_tokens", "v_proj"]),
    "lora-llama-embedding-dora": lora("llama", target_modules=["embed_tokens", "k_proj"], use_dora=True),
    "lora-llama-head": lora("llama", target_modules=["lm_head", "q_proj"]),
    "lora-llama-modules-to-save": lora("llama", target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", "embed_tokens", "norm"]),
    "lora-llama-tied-embedding-saved": lora("llama-tied", target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "lora-llama-tied-output-saved": lora("llama-tied", target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "lora-llama-tied-both-saved": lora("llama-tied", target_modules=["v_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    "lora-gpt2-output-saved": lora("gpt2", target_modules=["c_attn"], modules_to_save=["lm_head"]),
    "lora-llama-pissa": lora("llama", target_modules=["q_proj", "down_proj"], init_lora_weights="pissa"),
    "lora-llama-olora": lora("llama", target_modules=["k_proj", "up_proj"], init_lora_weights="olora"),
    "lora-llama-orthogonal": lora("llama", target_modules=["k_proj"], init_lora_weights="orthogonal"),
    "lora-qwen3": lora("qwen3", target_modules=["k_proj", "o_proj"]),
    "lora-mistral": lora("mistral"),
    "lora-gpt2": lora("gpt2", target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, rank_pattern={"mlp.c_proj": 2}),
    "lora-gpt2-usual-targets": lora("gpt2"),
    "lora-gpt2-dora": lora("gpt2", target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True, use_dora=True),
    "lora-gpt2-pissa": lora("gpt2", target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights="pissa"),
    "lora-gpt2-embedding": lora("gpt2", target_modules=["wte", "c_attn"]),
    "lora-gpt2-all-linear": lora("gpt2", target_modules="all-linear"),
    "lora-opt": lora("opt"), "lora-gemma": lora("gemma"), "lora-gemma-embedding": lora("gemma", target_modules=["embed_tokens", "q_proj"]), "lora-neox": lora("neox"),
    "lora-bert-cls": lora("bert-cls", task_type="SEQ_CLS"), "lora-bert-cls-all-linear": lora("bert-cls", task_type="SEQ_CLS", target_modules="all-linear", r=2),
    "lora-bert-tokens": lora("bert-tokens", task_type="TOKEN_CLS"), "lora-bert-qa": lora("bert-qa", task_type="QUESTION_ANS"), "lora-bert-mlm": lora("bert-mlm", task_type=None),
    "lora-roberta-cls": lora("roberta-cls", task_type="SEQ_CLS"),
    "lora-t5": lora("t5", task_type="SEQ_2_SEQ_LM"), "lora-t5-dora": lora("t5", task_type="SEQ_2_SEQ_LM", target_modules=["wo", "q", "o"], use_dora=True),
    "lora-bart": lora("bart", task_type="SEQ_2_SEQ_LM"), "lora-bart-head": lora("bart", task_type="SEQ_2_SEQ_LM", target_modules=["lm_head", "fc1"]), "lora-bart-all-linear": lora("bart", task_type="SEQ_2_SEQ_LM", target_modules="all-linear", r=2),
    "ia3-llama": ("llama", peft.IA3Config, {}),
    "ia3-llama-biases-regex": ("llama-biases", peft.IA3Config, dict(target_modules=r".*\.(q_proj|up_proj|down_proj)", feedforward_modules=r".*\.down_proj")),
    "ia3-gpt2": ("gpt2", peft.IA3Config, {}),
    "ia3-bert-cls": ("bert-cls", peft.IA3Config, dict(task_type="SEQ_CLS")), "ia3-t5": ("t5", peft.IA3Config, dict(task_type="SEQ_2_SEQ_LM")),
    "prompt-llama": ("llama", peft.PromptTuningConfig, dict(num_virtual_tokens=5)),
    "prompt-gpt2": ("gpt2", peft.PromptTuningConfig, dict(num_virtual_tokens=3)),
    "prompt-mistral": ("mistral", peft.PromptTuningConfig, dict(num_virtual_tokens=4)),
    "prompt-gemma": ("gemma", peft.PromptTuningConfig, dict(num_virtual_tokens=4)),
    "prompt-bert-cls": ("bert-cls", peft.PromptTuningConfig, dict(num_virtual_tokens=4, task_type="SEQ_CLS")),
    "prompt-t5": ("t5", peft.PromptTuningConfig, dict(num_virtual_tokens=4, task_type="SEQ_2_SEQ_LM")),
    "prompt-bart": ("bart", peft.PromptTuningConfig, dict(num_virtual_tokens=4, task_type="SEQ_2_SEQ_LM")),
    "prefix-llama": ("llama", peft.PrefixTuningConfig, dict(num_virtual_tokens=5)),
    "prefix-gpt2": ("gpt2", peft.PrefixTuningConfig, dict(num_virtual_tokens=3)),
    "prefix-gpt2-projection": ("gpt2", peft.PrefixTuningConfig, dict(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=20)),
    "prefix-qwen3": ("qwen3", peft.PrefixTuningConfig, dict(num_virtual_tokens=4)),
    "prefix-mistral": ("mistral", peft.PrefixTuningConfig, dict(num_virtual_tokens=2)),
    "prefix-opt": ("opt", peft.PrefixTuningConfig, dict(num_virtual_tokens=2)),
    "prefix-t5": ("t5", peft.PrefixTuningConfig, dict(num_virtual_tokens=3, task_type="SEQ_2_SEQ_LM")),
    "prefix-bart": ("bart", peft.PrefixTuningConfig, dict(num_virtual_tokens=3, task_type="SEQ_2_SEQ_LM")),
}


def inputs_of(task):
    ids = torch.randint(2, 67, (3, 9))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    if task == "SEQ_CLS":
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 2, 1])}
    if task == "TOKEN_CLS":
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, torch.randint(0, 5, ids.shape), -100)}
    if task == "QUESTION_ANS":
        return {"input_ids": ids, "attention_mask": mask, "start_positions": torch.tensor([1, 4, 0]), "end_positions": torch.tensor([3, 4, 8])}
    if task == "SEQ_2_SEQ_LM":
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(2, 67, (3, 7))}
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, ids, -100)}


def generations(task, prompts):
    greedy = dict(max_new_tokens=8, do_sample=False)
    plain, left = {"input_ids": "input_ids"}, {"input_ids": "left.input_ids", "attention_mask": "left.attention_mask"}
    if task == "CAUSAL_LM" and prompts:
        yield {"name": "greedy", "options": greedy, "inputs": plain}
    elif task == "CAUSAL_LM":
        for suffix, inputs in (("", plain), ("_left", left)):
            yield {"name": "greedy" + suffix, "options": greedy, "inputs": inputs}
        yield {"name": "beam3", "options": {**greedy, "num_beams": 3}, "inputs": plain}


def greedy_by_forward(model, ids, count):
    """Virtual tokens: generate() of this peft and this transformers gives other tokens than their own forward pass, which is what counts."""
    for _ in range(count):
        ids = torch.cat([ids, model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1].argmax(-1, keepdim=True)], 1)
    return ids


def loaded(directory, Model, trainable):
    base = Model.from_pretrained(os.path.join(directory, "base"))
    return peft.PeftModel.from_pretrained(base, os.path.join(directory, "adapter"), is_trainable=trainable).double().eval()


def outputs_of(model, inputs):
    result = model(**inputs)
    names = [name for name in ("logits", "start_logits", "end_logits") if getattr(result, name, None) is not None]
    return result.loss, {name: getattr(result, name) for name in names}


def make(folder, name):
    base_name, Config, options = CASES[name]
    kind, sizes = BASES[base_name]
    Model = getattr(transformers, kind)
    task = {"task_type": "CAUSAL_LM", **options}["task_type"]
    torch.manual_seed(sum(map(ord, name)))
    base = Model(Model.config_class(**sizes)).eval()
    with torch.no_grad():
        for path, p in base.named_parameters():
            p.copy_(torch.randn_like(p) * 0.2 + (1.0 if "norm" in path.lower() and "bias" not in path or "ln_" in path and "bias" not in path else 0.0))
    directory = os.path.join(folder, name)
    shutil.rmtree(directory, ignore_errors=True)
    base.save_pretrained(os.path.join(directory, "base"))
    model = peft.get_peft_model(base, Config(**{**options, "task_type": task}))
    with torch.no_grad():
        for path, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.15)
    model.save_pretrained(os.path.join(directory, "adapter"))

    prompts = Config in (peft.PromptTuningConfig, peft.PrefixTuningConfig)
    projected = options.get("prefix_projection", False)   # whose file cannot be trained on
    model = loaded(directory, Model, not prompts)
    for path, p in model.named_parameters():   # which peft loads to be used alone
        if "prompt_encoder" in path:
            p.requires_grad_(not projected)
    inputs = inputs_of(task)
    loss, outputs = outputs_of(model, inputs)
    expected = {key: value.detach() for key, value in outputs.items()}
    expected["loss"] = loss.detach()
    if not projected:
        loss.backward()
        expected.update({f"grad.{path}": p.grad for path, p in model.named_parameters() if p.requires_grad and p.grad is not None})
    left = inputs["input_ids"].clone()
    left_mask = torch.ones_like(left)
    left_mask[1, :4] = 0
    stored = {**inputs, "left.input_ids": left, "left.attention_mask": left_mask}
    asked = list(generations(task, prompts))
    with torch.no_grad():
        for g in asked:
            if prompts:
                expected[f"generate.{g['name']}.sequences"] = greedy_by_forward(model, inputs["input_ids"], g["options"]["max_new_tokens"])
                continue
            got = model.generate(**{key: stored[value] for key, value in g["inputs"].items()}, **g["options"], return_dict_in_generate=True, output_scores=True)
            expected[f"generate.{g['name']}.sequences"] = got.sequences
            if g["options"].get("num_beams", 1) > 1:
                expected[f"generate.{g['name']}.sequences_scores"] = got.sequences_scores
    if Config in (peft.LoraConfig, peft.IA3Config):
        plain = loaded(directory, Model, False).merge_and_unload()
        with torch.no_grad():
            _, merged = outputs_of(plain, inputs)
        expected["merged_logits"] = merged.get("logits", merged.get("start_logits"))
        expected.update({f"merged.{path}": p.detach() for path, p in plain.named_parameters() if "proj" in path or "attn" in path})
    save_file({key: value.to(torch.int32) for key, value in stored.items()}, os.path.join(directory, "inputs.safetensors"))
    save_file({key: value.to(torch.int32 if value.dtype == torch.int64 else torch.float32).contiguous() for key, value in expected.items()}, os.path.join(directory, "expected.safetensors"))
    with open(os.path.join(directory, "case.json"), "w") as file:
        json.dump({"name": name, "class": f"peft {Config.__name__}", "peft": peft.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
                   "expected": sorted(expected), "generate": asked}, file, indent=1)


def load(directory):
    """What warpweft saved: peft finds every weight where it looks, and computes the same."""
    with open(os.path.join(directory, "base", "config.json")) as file:
        Model = getattr(transformers, json.load(file)["architectures"][0])
    model = Model.from_pretrained(os.path.join(directory, "base")).eval()
    adapter = os.path.join(directory, "adapter")
    model = peft.get_peft_model(model, peft.PeftConfig.from_pretrained(adapter)).eval()
    found = peft.set_peft_model_state_dict(model, load_file(os.path.join(adapter, "adapter_model.safetensors")))
    unexpected = [key for key in found.unexpected_keys if key != "prompt_embeddings"]   # which peft sees to by itself
    wanted = peft.get_peft_model_state_dict(model).keys()
    missing = sorted(set(wanted) - set(load_file(os.path.join(adapter, "adapter_model.safetensors")).keys()))
    expected, inputs = load_file(os.path.join(directory, "expected.safetensors")), load_file(os.path.join(directory, "inputs.safetensors"))
    error = {}
    with torch.no_grad():
        ids = {"input_ids": inputs["input_ids"].long()}
        error["logits"] = (model(**ids).logits - expected["logits"]).abs().max().item() / expected["logits"].abs().max().item()
        if "merged_logits" in expected:
            error["merged_logits"] = (model.merge_and_unload()(**ids).logits - expected["merged_logits"]).abs().max().item() / expected["merged_logits"].abs().max().item()
    ok = not missing and not unexpected and all(value < 2e-5 for value in error.values())
    print("ok  " if ok else "FAIL", os.path.basename(directory), error, "missing:", missing, "unexpected:", unexpected)
    return ok


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    if sys.argv[1] == "--load":
        sys.exit(0 if all([load(directory) for directory in sys.argv[2:]]) else 1)
    for wanted in sys.argv[2:] or CASES:
        make(sys.argv[1], wanted)
        print(wanted, flush=True)
