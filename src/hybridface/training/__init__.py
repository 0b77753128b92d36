"""A training run from start to end: its data, its steps, its folder."""
