"""Parts by name: a class of the package's own or anyone's, with options, as ``global_conv[filter=free]``."""
