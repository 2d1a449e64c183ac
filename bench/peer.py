"""One work of bench/works.ts in PyTorch 2, in a process of its own: python3 peer.py NAME SECONDS THREADS [compile]. Prints the same JSON."""
import json, math, resource, sys, time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Translator(nn.Module):
    """torch.nn.Transformer between a shared embedding with sinusoidal positions and a tied output."""

    def __init__(self, vocabulary, width, heads, layers, feed_forward, dropout=0.1, positions=64):
        super().__init__()
        self.scale = math.sqrt(width)
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width ** -0.5)
        angles = torch.arange(positions)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("positions", torch.stack([angles.sin(), angles.cos()], -1).flatten(1))
        self.transformer = nn.Transformer(width, heads, layers, layers, feed_forward, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def embed(self, ids):
        return self.dropout(self.embedding(ids) * self.scale + self.positions[: ids.shape[1]])

    def forward(self, source, target):
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        y = self.transformer(self.embed(source), self.embed(target), tgt_mask=causal, tgt_is_causal=True)
        return F.linear(y, self.embedding.weight)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C)
        x = x + self.c_proj(y)
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, length, layers, heads, width):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        nn.init.normal_(self.wte.weight, std=0.02)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def training(model, vocabulary, inputs, labels, low):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loss():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            return F.cross_entropy(model(*inputs).reshape(-1, vocabulary), labels.reshape(-1))

    loss = torch.compile(loss) if "compile" in sys.argv else loss

    def step():
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def train(name, low):
    if name in ("base", "tiny"):
        V, width, heads, layers, feed_forward, B, S = (10000, 512, 8, 6, 2048, 16, 32) if name == "base" else (8000, 128, 4, 4, 256, 64, 16)
        source, target, labels = (torch.randint(0, V, (B, S)) for _ in range(3))
        return training(Translator(V, width, heads, layers, feed_forward).train(), V, (source, target), labels, low)
    V, T, layers, heads, width, B = (65, 64, 4, 4, 128, 12) if name == "nanogpt" else (50257, 256, 12, 12, 768, 2)
    ids, labels = torch.randint(0, V, (B, T)), torch.randint(0, V, (B, T))
    return training(LanguageModel(V, T, layers, heads, width).train(), V, (ids,), labels, low)


def product(n, low):
    a, b = (torch.randn(n, n, dtype=torch.bfloat16 if low else torch.float32) for _ in range(2))

    def run():
        with torch.inference_mode():
            torch.mm(a, b)

    return run


def attended(length, width, kind, gradients):
    batch, causal = 4 if length <= 128 else 1, kind == "causal"
    q, k, v, dy = (torch.randn(batch, 8, length, width) for _ in range(4))
    mask = (torch.arange(length) < 0.75 * length).expand(batch, 1, 1, length) if kind == "padded" else None
    if not gradients:
        def run():
            with torch.inference_mode():
                F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return run
    for t in (q, k, v):
        t.requires_grad_()

    def both():
        for t in (q, k, v):
            t.grad = None
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal).backward(dy)

    return both


def stream(what, dtype, rows=16384, columns=1024):
    """What bench/streamWorks.ts does, eager."""
    x, residual = (torch.randn(rows, columns).to(dtype) for _ in range(2))
    weight, bias, wide = torch.randn(columns), torch.randn(columns), torch.randn(50257, columns)
    labels, ids = torch.randint(columns, (rows,)), torch.randint(50257, (rows,))
    if what == "adamW":
        parameter = torch.nn.Parameter(torch.randn(rows, columns))
        parameter.grad = torch.zeros_like(parameter)
        return torch.optim.AdamW([parameter], lr=1e-4, fused=True).step
    if what == "crossEntropy":
        x.requires_grad_()

        def both():
            x.grad = None
            F.cross_entropy(x, labels).backward()

        return both

    def add_norm():
        total = x + F.dropout(residual, 0.1)
        return F.layer_norm(total, (columns,), weight.to(dtype), bias.to(dtype)), total

    table = {"copy": x.clone, "gelu": lambda: F.gelu(x), "addLayerNorm": add_norm, "embedding": lambda: F.embedding(ids, wide).to(dtype)}

    def run():
        with torch.inference_mode():
            table[what]()

    return run


def beams(width=512, heads=8, vocabulary=10000, length=32, steps=32, beam=4):
    """Post-norm encoder and decoder of 6 layers by hand, with caches; the encoder runs once, each step takes one token of each beam."""
    model = Translator(vocabulary, width, heads, 6, 2048, dropout=0.0).eval()
    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    source = torch.randint(0, vocabulary, (1, length))

    def split(x):
        return x.view(x.shape[0], -1, heads, width // heads).transpose(1, 2)

    def parts(attention, x, first, last):
        weight, bias = attention.in_proj_weight[first * width : last * width], attention.in_proj_bias[first * width : last * width]
        return F.linear(x, weight, bias).split(width, -1)

    def attend(attention, q, k, v):
        return attention.out_proj(F.scaled_dot_product_attention(split(q), k, v).transpose(1, 2).reshape(q.shape))

    @torch.inference_mode()
    def run():
        memory = encoder(model.embed(source))
        fixed = [[split(t).expand(beam, -1, -1, -1) for t in parts(layer.multihead_attn, memory, 1, 3)] for layer in decoder.layers]
        caches = [None] * len(decoder.layers)
        tokens, scores = torch.zeros(beam, 1, dtype=torch.long), torch.tensor([0.0] + [-1e9] * (beam - 1))
        history = tokens
        for step in range(steps):
            x = model.embedding(tokens) * model.scale + model.positions[step]
            for i, layer in enumerate(decoder.layers):
                q, k, v = parts(layer.self_attn, x, 0, 3)
                k, v = split(k), split(v)
                if caches[i] is not None:
                    k, v = torch.cat([caches[i][0], k], 2), torch.cat([caches[i][1], v], 2)
                caches[i] = (k, v)
                x = layer.norm1(x + attend(layer.self_attn, q, k, v))
                q, = parts(layer.multihead_attn, x, 0, 1)
                x = layer.norm2(x + attend(layer.multihead_attn, q, *fixed[i]))
                x = layer.norm3(x + layer.linear2(F.relu(layer.linear1(x))))
            logits = F.linear(decoder.norm(x[:, -1]), model.embedding.weight)
            scores, best = (F.log_softmax(logits, -1) + scores[:, None]).view(-1).topk(beam)
            rows, tokens = best // vocabulary, (best % vocabulary)[:, None]
            history = torch.cat([history[rows], tokens], 1)
            caches = [(k[rows], v[rows]) for k, v in caches]

    return run


def few_rows(rows):
    layer = [(1536, 512), (512, 512), (512, 512), (512, 512), (2048, 512), (512, 2048)]
    weights = [torch.randn(n, k) for n, k in layer * 6 + [(10000, 512)]]
    inputs = {k: torch.randn(rows, k) for k in (512, 2048)}

    def run():
        with torch.inference_mode():
            for w in weights:
                F.linear(inputs[w.shape[1]], w)

    return run


class Encoder(nn.Module):
    """BERT-base without its pooler; torch.nn.TransformerEncoder has a fast path for inference."""

    def __init__(self, vocabulary=30522, width=768):
        super().__init__()
        self.words, self.positions, self.texts = nn.Embedding(vocabulary, width), nn.Embedding(512, width), nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 12, 4 * width, 0.0, "gelu", batch_first=True), 12)

    def forward(self, ids):
        return self.layers(self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.texts.weight[0]))


def encoded(batch):
    model, ids = Encoder().eval(), torch.randint(0, 30522, (batch, 128))

    def run():
        with torch.inference_mode():
            model(ids)

    return run


def decoded(prompt=64, steps=64, vocabulary=50257):
    """GPT-2 with keys and values in memory that is there from the beginning."""
    model, start = LanguageModel(vocabulary, 1024, 12, 12, 768).eval(), torch.randint(0, vocabulary, (1, prompt))

    def step(ids, position, caches):
        T = ids.shape[1]
        x = model.wte(ids) + model.wpe.weight[position : position + T]
        for block, (keys, values) in zip(model.blocks, caches):
            q, k, v = (t.view(1, T, 12, 64).transpose(1, 2) for t in block.c_attn(block.ln_1(x)).split(768, 2))
            keys[:, :, position : position + T], values[:, :, position : position + T] = k, v
            seen = position + T
            y = F.scaled_dot_product_attention(q, keys[:, :, :seen], values[:, :, :seen], is_causal=T > 1)
            x = x + block.c_proj(y.transpose(1, 2).reshape(1, T, 768))
            x = x + block.c_out(F.gelu(block.c_fc(block.ln_2(x)), approximate="tanh"))
        return F.linear(model.ln_f(x[:, -1:]), model.wte.weight)[:, 0].argmax(-1, keepdim=True)

    @torch.inference_mode()
    def run():
        caches = [(torch.zeros(1, 12, prompt + steps, 64), torch.zeros(1, 12, prompt + steps, 64)) for _ in model.blocks]
        ids = step(start, 0, caches)
        for position in range(prompt, prompt + steps - 1):
            ids = step(ids, position, caches)

    return run


def calls():
    a, b = torch.randn(4), torch.randn(4)

    def run():
        with torch.inference_mode():
            for _ in range(10000):
                torch.add(a, b)

    return run


def work(name):
    low = name.endswith("-bfloat16")
    kind, _, rest = name.removesuffix("-bfloat16").partition("-")
    if kind == "matmul":
        return product(int(rest), low)
    if kind == "attention":
        length, width, shape, *what = rest.split("-")
        return attended(int(length), int(width[1:]), shape, what[-1] == "backward")
    if kind == "stream":
        return stream(rest.removesuffix("-float32"), torch.bfloat16 if low else torch.float32)
    if kind in ("rows", "encode", "decode", "calls"):
        return few_rows(int(rest)) if kind == "rows" else encoded(int(rest.split("-")[1])) if kind == "encode" else decoded() if kind == "decode" else calls()
    return train(rest, low) if kind == "train" else beams()


if __name__ == "__main__":
    name, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run, times = work(name), []
    for _ in range(3 if "compile" in sys.argv else 2):
        run()
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 500):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"times": times, "peakMiB": peak, "version": torch.__version__}))
