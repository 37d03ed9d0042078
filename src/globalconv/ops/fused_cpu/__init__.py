"""The fused CPU backend. Read in this order: transform, problem, vectors, kernels, launch, operator, backend."""
