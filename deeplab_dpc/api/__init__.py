"""What `import deeplab_dpc` offers, beside what it takes from other rooms; no flags."""
