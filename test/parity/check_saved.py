#!/usr/bin/env python3
"""Whether transformers loads what warpweft has saved: no key missing, none unexpected, and the outputs of the case that the model was loaded from.

    node build/js/test/parity/resave.js FOLDER DIR…
    python3 test/parity/check_saved.py FOLDER DIR…

DIR are parity cases (`make.py`, `make_seq2seq.py`), FOLDER is where resave.js has put the models under the cases' names.
"""
import json
import os
import sys

import torch
import transformers
from safetensors.torch import load_file

import make  # noqa: F401: which has softmax in float64 where that is asked for


def check(folder, case):
    """Whether the model of a case that lies in the folder is whole and computes what the case expects; says so."""
    name = os.path.basename(os.path.normpath(case))
    with open(os.path.join(case, "case.json")) as f:
        Model = getattr(transformers, json.load(f)["class"])
    model, info = Model.from_pretrained(os.path.join(folder, name), output_loading_info=True)
    wrong = [f"{key}: {sorted(info[key])}" for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]]
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")   # the default has no float64
    stored = {k: v for k, v in load_file(os.path.join(case, "inputs.safetensors")).items() if "." not in k and k != "begun"}
    inputs = {k: v.double() if v.is_floating_point() else v.bool() if v.dim() == 4 else v.long() for k, v in stored.items()}
    with torch.no_grad():
        out = model.double().eval()(**inputs)
    got = dict(out.items())
    if "mc_loss" in got:   # of two heads the case has the sum as well
        got |= {"lm_loss": out.loss, "loss": out.loss + out.mc_loss}
    for key, expected in load_file(os.path.join(case, "expected.safetensors")).items():
        if key.startswith(("grad.", "generate.")):
            continue
        error = (got[key].float() - expected).abs().max().item()
        if not error <= 1e-5 * max(expected.abs().max().item(), 1e-3):
            wrong.append(f"{key} is off by {error:.1e}")
    print("FAIL" if wrong else "ok  ", name, "; ".join(wrong), flush=True)
    return not wrong


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    sys.exit(0 if all([check(sys.argv[1], case) for case in sys.argv[2:]]) else 1)
