"""The fused CPU backend.

The mathematics: ``transform`` (which reductions), ``problem`` (a convolution as one of them), ``arithmetic``
(what a reduction does to the numbers that meet). The machine: ``vectors``, ``rows``, ``jit``. The loops:
``passes``, ``leaves``, ``tiles``, ``kernels``. The way in: ``launch``, ``spectra``, ``operator``, ``backend``.
"""
