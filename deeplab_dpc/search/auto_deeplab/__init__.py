"""Auto-DeepLab: search of the cell and of the resolution path by gradient (Liu et al., CVPR 2019, arXiv:1901.02985)."""
