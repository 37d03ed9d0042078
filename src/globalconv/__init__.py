"""globalconv: can a global depthwise convolution replace self-attention, where, and at what cost?"""

__version__ = "0.1.0"
