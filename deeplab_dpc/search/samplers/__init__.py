"""The samplers: what draws the next cell.

Owns the order of draws (sequence.py), what a sampler is (strategy.py), the limits of what is drawn (constraints.py),
and the samplers of config/samplers.py, a file each. Gives `make_strategy` (factory.py). A draw depends on the seed, its
number and the scores so far alone.
"""
