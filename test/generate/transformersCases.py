"""Writes transformersCases.json: what generate of Hugging Face transformers 5.24 (with PyTorch) gives for a model that is nothing but a table.

    python3 transformersCases.py > transformersCases.json

The logits of the next token are table[second last token][last token] / 64. The padding token is not 0, which beam search of that version takes for none.
"""
import json, random, sys
import torch
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
import transformers

V = 6

class TableConfig(PretrainedConfig):
    model_type = "table"
    vocab_size = V

class TableModel(PreTrainedModel, GenerationMixin):
    config_class = TableConfig

    def __init__(self, config, table):
        super().__init__(config)
        self.table = torch.nn.Parameter(torch.tensor(table, dtype=torch.float32) / 64)

    def forward(self, input_ids, attention_mask=None, **_):
        before = torch.cat([input_ids[:, :1], input_ids[:, :-1]], 1)
        return CausalLMOutput(logits=self.table[before, input_ids])

def finite(tensor):
    return [[round(x, 5) if x > -1e6 else None for x in row] for row in tensor.tolist()]

def main():
    rng = random.Random(7)
    cases = []
    for number in range(60):
        # Every other table likes to end, so that sentences finish at different times.
        table = [[[round(rng.gauss(0, 96)) + (96 if token == 1 and number % 2 else 0) for token in range(V)] for _ in range(V)] for _ in range(V)]
        prompts = [[rng.randrange(2, V), rng.randrange(2, V)] for _ in range(rng.choice([1, 2, 3]))]
        options = {"max_new_tokens": rng.choice([1, 3, 6, 9, 9]), "do_sample": False, "pad_token_id": 5, "eos_token_id": rng.choice([1, 1, 1, [1, 2]])}
        beams = rng.choice([1, 2, 3, 4, 5])
        if beams > 1:
            options.update(num_beams=beams, length_penalty=rng.choice([0.0, 0.6, 1.0, 2.0, -0.5]), early_stopping=rng.choice([True, False, "never"]),
                           num_return_sequences=rng.randrange(1, beams + 1))
        if rng.random() < 0.3: options["repetition_penalty"] = 1.25
        if rng.random() < 0.3: options["no_repeat_ngram_size"] = 2
        if rng.random() < 0.2: options["min_length"] = 4
        if rng.random() < 0.2: options["forced_eos_token_id"] = 1
        if rng.random() < 0.2: options["bad_words_ids"] = [[3], [4, 5]]
        model = TableModel(TableConfig(), table).eval()
        out = model.generate(torch.tensor(prompts), attention_mask=torch.ones(len(prompts), 2, dtype=torch.long), use_cache=False,
                             return_dict_in_generate=True, output_scores=True, output_logits=True, **options)
        case = {"table": [value for rows in table for row in rows for value in row], "prompts": prompts, "options": options, "sequences": out.sequences.tolist()}
        if beams > 1: case["scores"] = [round(x, 6) for x in out.sequences_scores.tolist()]
        if beams > 1:
            logprobs = model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        else:
            logprobs = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
            if number % 6 == 0:
                case["step_scores"] = [finite(step) for step in out.scores]
                case["step_logits"] = [finite(step) for step in out.logits]
        case["logprobs"] = finite(logprobs)
        cases.append(case)
    json.dump({"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "vocabulary": V, "cases": cases}, sys.stdout, separators=(",", ":"))

main()
