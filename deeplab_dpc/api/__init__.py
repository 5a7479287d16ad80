"""The Python API: the functions and classes that `import deeplab_dpc` offers in addition to those of other modules.

They take arguments, not flags.
"""
