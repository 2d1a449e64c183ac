"""What bench/gpu/worker.ts does, by PyTorch: a JSON line {spec, seconds} on standard input gives a line {times, peakMiB, note} on standard output. Its best: cuBLASLt, the fastest of its
attention backends (named in the note), torch.compile for the training step. peer.py cuda | cpu"""
import json, os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import torch
import torch.nn.functional as F
from peer import LanguageModel

DEVICE = sys.argv[1]
GPU = DEVICE == "cuda"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def synchronize():
    if GPU:
        torch.cuda.synchronize()


def normal(*shape, dtype=torch.bfloat16):
    return torch.randn(*shape, device=DEVICE).to(dtype)


def timed(run, runs):
    start = time.perf_counter()
    for _ in range(runs):
        run()
    synchronize()
    return 1000 * (time.perf_counter() - start)


def gradients(inputs, forward, dy):
    for t in inputs:
        t.requires_grad_()

    def run():
        for t in inputs:
            t.grad = None
        forward().backward(dy)

    return run


def attention(spec):
    q, k, v, dy = (normal(spec["B"], spec["S"], spec["H"], spec["D"]).transpose(1, 2) for _ in range(4))

    def forward():
        return F.scaled_dot_product_attention(q, k, v, is_causal=spec["causal"])

    run = gradients([q, k, v], forward, dy) if spec["backward"] else inference(forward)
    if not GPU:
        return run, "backend of the CPU"
    from torch.nn.attention import SDPBackend, sdpa_kernel

    best = None
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        def alone(backend=backend):
            with sdpa_kernel(backend):
                run()
        try:
            for _ in range(2):
                timed(alone, 1)
            took = min(timed(alone, 3) for _ in range(2))
        except RuntimeError:
            continue
        if best is None or took < best[0]:
            best = (took, alone, backend)
    return best[1], f"{best[2].name}"


def inference(forward):
    def run():
        with torch.inference_mode():
            forward()

    return run


def adamw(spec):
    parameters = [torch.nn.Parameter(torch.zeros(n, device=DEVICE)) for n in spec["sizes"]]
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def run():
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()

    return run


def step(spec):
    model = LanguageModel(spec["vocabulary"], spec["T"], spec["layers"], spec["heads"], spec["width"]).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids, labels = (torch.randint(0, spec["vocabulary"], (spec["B"], spec["T"]), device=DEVICE) for _ in range(2))

    def loss():
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            return F.cross_entropy(model(ids).view(-1, spec["vocabulary"]), labels.view(-1))

    compiled = torch.compile(loss) if GPU else loss

    def run():
        compiled().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def work(spec):
    kind = spec["kind"]
    if kind == "copy":
        x = normal(spec["n"], dtype=DTYPES[spec["dtype"]])
        return inference(x.clone), ""
    if kind == "gelu":
        x = normal(spec["n"], dtype=DTYPES[spec["dtype"]])
        return inference(lambda: F.gelu(x)), ""
    if kind == "layerNorm":
        C = spec["columns"]
        x, weight, bias = normal(spec["rows"], C), torch.ones(C, device=DEVICE, dtype=torch.bfloat16), torch.ones(C, device=DEVICE, dtype=torch.bfloat16)
        def forward():
            return F.layer_norm(x, (C,), weight, bias)
        return (gradients([x, weight, bias], forward, normal(spec["rows"], C)) if spec["backward"] else inference(forward)), "weight and bias in bfloat16"
    if kind == "crossEntropy":
        x, labels = normal(spec["rows"], spec["columns"]), torch.randint(0, spec["columns"], (spec["rows"],), device=DEVICE)
        return gradients([x], lambda: F.cross_entropy(x, labels), None), ""
    if kind == "adamW":
        return adamw(spec), "fused, clip_grad_norm_ foreach"
    if kind == "matmul":
        torch.backends.cuda.matmul.allow_tf32 = spec["tf32"]
        dtype = DTYPES[spec["dtype"]]
        a, b = normal(spec["K"], spec["M"], dtype=dtype).t() if spec["transposed"] else normal(spec["M"], spec["K"], dtype=dtype), normal(spec["K"], spec["N"], dtype=dtype)
        return inference(lambda: torch.mm(a, b)), ""
    if kind == "attention":
        return attention(spec)
    return step(spec), "torch.compile" if GPU else "not compiled"


def measured(spec, seconds):
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    run, note = work(spec)
    for _ in range(3):
        timed(run, 1)
    runs = max(1, min(200, int(20 / timed(run, 1)) + 1))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 50):
        times.append(timed(run, runs) / runs)
    return {"times": times, "peakMiB": torch.cuda.max_memory_allocated() / 2**20 if GPU else 0, "note": note}


if GPU:
    torch.backends.cuda.preferred_blas_library("cublaslt")
    name = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name()}"
else:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    name = f"PyTorch {torch.__version__} on the CPU"
print(json.dumps({"ready": name}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = measured(request["spec"], request["seconds"])
    except Exception as error:  # noqa: BLE001: whatever it is, the other works are measured
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    if GPU:
        torch.cuda.empty_cache()
    print(json.dumps(answer), flush=True)
