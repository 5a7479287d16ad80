"""The samplers of --sampler, each a Strategy."""
