"""What a call of the kernel does, as a sum of these; ``Sheet.role``."""

GO_DOWN = 1  # the signal goes down the tree
TIMES = 2  # and is multiplied by the filter's spectrum
TIMES_CONJUGATE = 4  # or by its conjugate
CORRELATE = 8  # conj(other) times the signal is added up: the taps' gradient
GO_UP = 16  # the signal comes up again
RECOMPUTE = 32  # the other signal comes up too, times the filter: the convolution, for the gate's gradient
SPECTRA_KEPT = 64  # the filter's spectra lie in memory of their own, and are there
SPECTRA_TO_KEEP = 128  # ... and are to be made there
