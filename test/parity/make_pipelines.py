#!/usr/bin/env python3
"""Makes cases of pipelines: small random models with tokenizers, texts, and what transformers' own pipelines make of them.

    python3 test/parity/make_pipelines.py FOLDER                 every case of CASES
    python3 test/parity/make_pipelines.py FOLDER NAME [NAME …]   those

Needs torch, transformers and tokenizers. `npm run parity -- FOLDER/*` compares. transformers 5 has no pipelines for questions, summaries and translations any more:
for these the script decodes the outputs of transformers' models itself, questions as Devlin et al. 2019 have it, section 4.2.
"""
import json
import os
import sys

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "Anna Schmidt works for the Nordwind company in New York.", "Bob O'Neil doesn't live in Paris, but in London!", "The play was unbelievably good: playing, played, plays.",
    "Prices rose by 3.5 % in 2024, said the minister.", "Is this about sport, money or politics?", "É possível, naïve café über straße", "Two  spaces and a\ttab.", "x",
]
LONG = " ".join(["the river runs through the town and under the old bridge", "where anna met bob on a cold morning in march", "they went to paris by train and came back by ship"] * 6)
SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, initializer_range=0.4)
ENTITIES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "E-ORG"]


def corpus():
    return TEXTS * 3 + [LONG] + [word for text in TEXTS + [LONG] for word in text.split()]


TYPES = dict(model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def wordpiece(size=220, types=TYPES):
    """Pieces of words, as BERT has them: lower case, accents stripped; the second of two texts has a type of its own."""
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=64, **types)


def words():
    """Whole words alone, so that parts of a long text begin where words do."""
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(corpus(), trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=32, **TYPES)


def bytelevel(kind="roberta", size=420):
    """Pieces of bytes, as RoBERTa, BART and GPT-2 have them."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind == "roberta" else ["<|endoftext|>"]
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if kind != "roberta":
        t.post_processor = processors.ByteLevel(trim_offsets=False)
        return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
                                   model_max_length=64)


def names(*labels):
    return dict(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})


def call(inputs, expected, **options):
    return {"inputs": inputs, "options": options, "expected": expected}


def calls_of(task, model, tokenizer):
    """Arguments, options under our names, and what came of them."""
    if task == "question-answering":
        return list(questions(model, tokenizer))
    if task == "summarization":
        return list(summaries(model, tokenizer))
    pipe = transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu")
    if task == "text-classification":
        return [call([text], pipe(text, top_k=k, **({"function_to_apply": how} if how else {})), topK=k, **({"functionToApply": how} if how else {}))
                for text in TEXTS for k, how in ((None, None), (2, "sigmoid"), (None, "none"))]
    if task == "token-classification":
        entities = lambda found: [{"entity": e.get("entity_group", e.get("entity")), "score": float(e["score"]), "start": int(e["start"]), "end": int(e["end"]),
                                   **({"index": int(e["index"])} if "index" in e else {})} for e in found]
        return [call([text], entities(pipe(text, aggregation_strategy=how, ignore_labels=ignored)), aggregationStrategy=how, ignoreLabels=ignored)
                for text in TEXTS for how in ("none", "simple", "first", "average", "max") for ignored in (["O"], [])]
    if task == "fill-mask":
        mask = tokenizer.mask_token
        one, two = [f"Anna {mask} for the company.", f"{mask} in Paris"], f"Bob {mask} not live in {mask}."
        fillings = lambda found: [{"tokenStr" if key == "token_str" else key: value for key, value in filling.items()} for filling in found]
        wanted = sorted(w for w in tokenizer.get_vocab() if w.isalpha() and w.islower())[:7]
        return [call([text], [fillings(pipe(text, top_k=k))], topK=k) for text in one for k in (1, 5)] + [call([two], [fillings(mask) for mask in pipe(two)])] \
            + [call([one[0]], [fillings(pipe(one[0], targets=wanted))], targets=wanted)]
    if task == "feature-extraction":
        found = {text: torch.tensor(pipe(text))[0] for text in TEXTS}
        pooled = {"none": lambda x: x, "mean": lambda x: x.mean(0, keepdim=True), "cls": lambda x: x[:1], "last": lambda x: x[-1:]}
        return [call([text], pool(x).tolist(), pooling=how) for text, x in found.items() for how, pool in pooled.items()] \
            + [call([TEXTS[0]], torch.nn.functional.normalize(found[TEXTS[0]].mean(0, keepdim=True)).tolist(), pooling="mean", normalize=True)]
    if task == "zero-shot-classification":
        labels = ["sport", "money", "politics", "the weather"]
        given = [({}, {}), (dict(multi_label=True), dict(multiLabel=True)), (dict(hypothesis_template="It is about {}."), dict(hypothesisTemplate="It is about {}."))]
        result = lambda r: {key: r[key] for key in ("sequence", "labels", "scores")}
        return [call([text, labels], result(pipe(text, labels, **theirs)), **ours) for text in TEXTS for theirs, ours in given] \
            + [call([TEXTS[0], ["sport"]], result(pipe(TEXTS[0], ["sport"])))] + [call([LONG, labels], result(pipe(LONG, labels)))]
    if task == "text-generation":
        tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
        text = lambda results: [{"generatedText": r["generated_text"]} for r in results]
        chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where does Anna work?"}]
        given = [(dict(max_new_tokens=12), dict(maxNewTokens=12)), (dict(max_new_tokens=9, num_beams=3, num_return_sequences=2), dict(maxNewTokens=9, numBeams=3, numReturnSequences=2)),
                 (dict(max_new_tokens=12, repetition_penalty=1.3, no_repeat_ngram_size=2, return_full_text=False),
                  dict(maxNewTokens=12, repetitionPenalty=1.3, noRepeatNgramSize=2, returnFullText=False))]
        return [call([prompt], text(pipe(prompt, do_sample=False, **theirs)), **ours) for prompt in TEXTS for theirs, ours in given] \
            + [call([chat], [{"generatedText": pipe(chat, do_sample=False, max_new_tokens=10)[0]["generated_text"][-1]["content"]}], maxNewTokens=10)]
    raise ValueError(task)


def questions(model, tokenizer):
    for question, context in (("where did anna meet bob", LONG), ("who went", " ".join(LONG.split()[:12]))):
        for stride, longest in ((8, 15), (4, 3), (0, 15)):
            encoded = tokenizer(question, context, truncation="only_second", max_length=32, stride=stride, return_overflowing_tokens=True, return_offsets_mapping=True, padding=True,
                                return_tensors="pt")
            found, none = {}, 1.0
            with torch.no_grad():
                out = model(**{key: encoded[key] for key in ("input_ids", "attention_mask", "token_type_ids")})
            for row in range(len(encoded["input_ids"])):
                inside = torch.tensor([s == 1 for s in encoded.sequence_ids(row)])
                allowed = inside.clone()
                allowed[0] = True   # the start token stands for: no answer
                start, end = (logits[row].masked_fill(~allowed, -1e4).softmax(-1) for logits in (out.start_logits, out.end_logits))
                none = min(none, (start[0] * end[0]).item())
                for i in inside.nonzero().flatten().tolist():
                    for k in range(i, min(i + longest, len(inside))):
                        if inside[k]:
                            span, score = (encoded["offset_mapping"][row][i][0].item(), encoded["offset_mapping"][row][k][1].item()), (start[i] * end[k]).item()
                            found[span] = max(score, found.get(span, 0.0))
            best = sorted(found.items(), key=lambda item: -item[1])
            answers = [{"answer": context[s:e], "score": score, "start": s, "end": e} for (s, e), score in best]
            options = dict(docStride=stride, maxAnswerLength=longest, maxSequenceLength=32)
            yield call([question, context], answers[:4], topK=4, **options)
            with_none = sorted(answers + [{"answer": "", "score": none, "start": 0, "end": 0}], key=lambda a: -a["score"])
            yield call([question, context], with_none[:4], topK=4, handleImpossibleAnswer=True, **options)


def summaries(model, tokenizer):
    for text in TEXTS[:5]:
        for theirs, ours in ((dict(num_beams=3, max_new_tokens=12), dict(numBeams=3, maxNewTokens=12)), (dict(max_new_tokens=8), dict(maxNewTokens=8))):
            out = model.generate(**tokenizer(text, return_tensors="pt"), do_sample=False, **theirs)
            yield call([text], {"summaryText": tokenizer.decode(out[0], skip_special_tokens=True).strip(" \n\t")}, **ours)


ROBERTA = dict(pad_token_id=1, bos_token_id=0, eos_token_id=2, max_position_embeddings=66, type_vocab_size=1)
BART = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
            init_std=0.4, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2)
GPT2 = dict(n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.4, bos_token_id=0, eos_token_id=0)

# name: (task, class, tokenizer, options of the configuration)
CASES = {
    "pipe-classes": ("text-classification", "BertForSequenceClassification", wordpiece, dict(**SMALL, **names("bad", "fair", "good"))),
    "pipe-several-labels": ("text-classification", "BertForSequenceClassification", wordpiece, dict(**SMALL, problem_type="multi_label_classification", **names("a", "b", "c", "d"))),
    "pipe-number": ("text-classification", "RobertaForSequenceClassification", bytelevel, {**SMALL, **ROBERTA, "problem_type": "regression", **names("score")}),
    "pipe-one-label": ("text-classification", "DistilBertForSequenceClassification", lambda: wordpiece(types={}), dict(dim=32, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=64,
                                                                                                 initializer_range=0.4, **names("toxic"))),
    "pipe-entities-pieces": ("token-classification", "BertForTokenClassification", wordpiece, dict(**SMALL, **names(*ENTITIES))),
    "pipe-entities-bytes": ("token-classification", "RobertaForTokenClassification", bytelevel, {**SMALL, **ROBERTA, **names(*ENTITIES)}),
    "pipe-masks-pieces": ("fill-mask", "BertForMaskedLM", wordpiece, SMALL),
    "pipe-masks-bytes": ("fill-mask", "RobertaForMaskedLM", bytelevel, {**SMALL, **ROBERTA}),
    "pipe-features": ("feature-extraction", "BertModel", wordpiece, SMALL),
    "pipe-features-bytes": ("feature-extraction", "RobertaModel", bytelevel, {**SMALL, **ROBERTA}),
    "pipe-zero-shot": ("zero-shot-classification", "BertForSequenceClassification", wordpiece, dict(**SMALL, **names("CONTRADICTION", "neutral", "Entailment"))),
    "pipe-zero-shot-first": ("zero-shot-classification", "RobertaForSequenceClassification", bytelevel, {**SMALL, **ROBERTA, **names("entailment", "not_entailment")}),
    "pipe-questions": ("question-answering", "BertForQuestionAnswering", words, {**SMALL, "max_position_embeddings": 32}),
    "pipe-text": ("text-generation", "GPT2LMHeadModel", lambda: bytelevel("gpt2"), GPT2),
    "pipe-summaries": ("summarization", "BartForConditionalGeneration", bytelevel, BART),
}


def make(folder, name):
    task, kind, tokenizer_of, options = CASES[name]
    Model, tokenizer = getattr(transformers, kind), tokenizer_of()
    torch.manual_seed(sum(map(ord, name)))
    # Vocabularies come in multiples of 8, as they often do: ids that no token has.
    model = Model(Model.config_class(vocab_size=-(-len(tokenizer) // 8) * 8, **options)).eval()
    directory = os.path.join(folder, name)
    model.save_pretrained(directory)
    calls = calls_of(task, model, tokenizer)
    tokenizer.save_pretrained(directory)
    with open(os.path.join(directory, "case.json"), "w") as f:
        json.dump({"name": name, "kind": "pipeline", "class": kind, "task": task, "torch": torch.__version__, "transformers": transformers.__version__, "calls": calls}, f, indent=1)
    print(directory, f"{len(calls)} calls", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(name not in CASES for name in sys.argv[2:]):
        sys.exit(f"usage: make_pipelines.py FOLDER [NAME …]; names are {', '.join(CASES)}")
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for case in sys.argv[2:] or CASES:
        make(sys.argv[1], case)
