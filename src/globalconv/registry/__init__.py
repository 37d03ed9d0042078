"""Classes by name, from this package or elsewhere, with options, such as ``global_conv[filter=free]``."""
