"""The samplers, which draw the next cell.

Contains the order of draws (sequence.py), the interface of a sampler and the moves that samplers share (sampler.py),
the constraints on candidates (constraints.py), and the samplers of config/samplers.py, one file each. Provides
`make_sampler` (sampler.py). A draw depends only on the seed, its number and the scores so far.
"""
