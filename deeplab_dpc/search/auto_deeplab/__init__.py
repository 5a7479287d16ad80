"""Auto-DeepLab: search for the cell and the resolution path by gradient (Liu et al., CVPR 2019, arXiv:1901.02985).

Contains the supernet and its two architecture vectors, the compiled steps that train weights and architecture, the run
with its checkpoints, and the decoding. Provides GradientSearch (gradient_search.py), and a report of its own.
"""
