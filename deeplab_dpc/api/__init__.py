"""The functions and classes of `import deeplab_dpc`, beside those that it takes from other packages; no flags."""
