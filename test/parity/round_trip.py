#!/usr/bin/env python3
"""Round trip between transformers, peft and warpweft: both ways, one model of every class that transformers has and warpweft loads, and LoRA adapters.

    npm run build && python3 test/parity/round_trip.py FOLDER

1. Models made by transformers are loaded and saved by warpweft; transformers loads them with no key missing, unexpected or of another shape, and computes the same numbers.
2. LoRA adapters made by peft are loaded by warpweft and trained on, new ones are trained there; peft loads both, computes the same logits, and merges them to the same.

Needs torch, transformers, peft, safetensors and node.
"""
import os
import subprocess
import sys

import torch
import transformers

import check_saved
import make
import make_encoder
import make_peft
import make_seq2seq

ADAPTERS = ["lora-llama", "lora-llama-all-linear", "lora-llama-rslora", "lora-llama-dora", "lora-llama-embedding", "lora-llama-lora-bias", "lora-llama-pissa", "lora-qwen3", "lora-mistral",
            "lora-gpt2", "lora-gpt2-dora", "lora-opt", "lora-gemma", "lora-neox"]


def node(script, *arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["node", os.path.join(here, "../../build/js/test/parity", script), *arguments], check=True, stdout=subprocess.DEVNULL)


def main(folder):
    cases, saved, adapters, trained = (os.path.join(folder, name) for name in ("cases", "saved", "adapters", "trained"))
    names, seen = [], set()
    for module in (make, make_encoder, make_seq2seq):
        for name, (kind, *_) in module.CASES.items():
            if kind not in seen:
                seen.add(kind)
                module.make(cases, name, [])
                names.append(name)
    directories = [os.path.join(cases, name) for name in names]
    node("resave.js", saved, *directories)
    passed = [check_saved.check(saved, directory) for directory in directories]
    for name in ADAPTERS:
        make_peft.make(adapters, name)
    node("trainAdapter.js", trained, *(os.path.join(adapters, name) for name in ADAPTERS))
    merged = [make_peft.load(os.path.join(trained, name)) for name in sorted(os.listdir(trained))]
    print(f"{sum(passed)} of {len(passed)} classes, {sum(merged)} of {len(merged)} adapters")
    return all(passed) and all(merged)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    sys.exit(0 if main(sys.argv[1]) else 1)
