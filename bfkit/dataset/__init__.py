"""From captions to a score table: prompts chosen (Eq. 1), pictures drawn and measured, shards, curves, costs."""
