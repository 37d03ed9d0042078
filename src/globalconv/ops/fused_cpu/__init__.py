"""The fused CPU backend; ``docs/kernels.md`` has its pictures and proofs.

The mathematics: ``transform`` (which reductions), ``problem`` (a convolution as one of them), ``arithmetic`` (what a
reduction does to the numbers that meet). ``interpreter`` and ``rounded`` work it off by NumPy, to the last bit.
The machine: ``vectors``, ``rows``, ``jit``. The loops: ``passes``, ``leaves``, ``tiles``, ``kernels``. What a call
tells them, by name: ``sheet``, ``roles``. The way in: ``launch``, ``spectra``, ``operator``, ``backend``.
"""
