#!/usr/bin/env bash
# bash gpu-verify.sh OUT [--quick] [--limit SECONDS]: verifies and measures warpweft's CUDA kernels on this machine's GPU, in under nine minutes, and writes results.json, results.md,
# log.txt and the vectors of the primitives to the folder OUT. Needs a driver for CUDA 13; neither npm nor a network nor a toolkit. PyTorch is measured beside it where `python3`
# (or WARPWEFT_PYTHON) has it. WARPWEFT_CUDA=simt runs everything on the emulator instead, without a GPU.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/bin/node" "$here/build/js/test/gpu/verify.js" "$@"
