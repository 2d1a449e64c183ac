"""Writes groupBeamCases.json: diverse beam search (Vijayakumar et al. 2016) as Hugging Face transformers 4.49 has it, the last versions have it no more.

Where the very last token gives a group enough ended beams, 4.49 forgets those that are still open, which ordinary beam search of 5.x and ours do not: without
early_stopping that is one case in fifty, and these 36 have none.
"""
import json, random, sys
import torch, transformers
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

V = 8

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

def main():
    rng = random.Random(11)
    cases = []
    for number in range(36):
        table = [[[round(rng.gauss(0, 96)) + (96 if token == 1 and number % 2 else 0) for token in range(V)] for _ in range(V)] for _ in range(V)]
        for rows in table:
            for row in rows:
                while len(set(row)) < V: row[:] = [value + rng.randrange(-3, 4) for value in row]   # of equal ones either may come first
                row[7] = -4096   # groups that are done "choose" the padding token there, and later groups avoid it
        prompts = [[rng.randrange(2, V), rng.randrange(2, V)] for _ in range(rng.choice([1, 2, 3]))]
        groups, size = rng.choice([2, 3]), rng.choice([1, 2, 3])
        options = {"max_new_tokens": rng.choice([1, 3, 6, 9]), "do_sample": False, "pad_token_id": 7, "eos_token_id": rng.choice([1, 1, [1, 2]]),
                   "num_beams": groups * size, "num_beam_groups": groups, "diversity_penalty": rng.choice([0.1, 0.3, 1.0, 5.0]),
                   "num_return_sequences": rng.randrange(1, groups * size + 1), "length_penalty": rng.choice([0.0, 1.0, 1.0, 2.0]),
                   "early_stopping": rng.choice([False, "never"])}
        if rng.random() < 0.3: options["repetition_penalty"] = 1.25
        if rng.random() < 0.3: options["no_repeat_ngram_size"] = 2
        model = TableModel(TableConfig(), table).eval()
        out = model.generate(torch.tensor(prompts), attention_mask=torch.ones(len(prompts), 2, dtype=torch.long), use_cache=False,
                             return_dict_in_generate=True, output_scores=True, **options)
        cases.append({"table": [value for rows in table for row in rows for value in row], "prompts": prompts, "options": options,
                      "sequences": out.sequences.tolist(), "scores": [round(x, 6) for x in out.sequences_scores.tolist()]})
    json.dump({"transformers": transformers.__version__, "vocabulary": V, "cases": cases}, sys.stdout, separators=(",", ":"))

main()
