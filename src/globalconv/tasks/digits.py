"""scikit-learn's handwritten digits, pixel by pixel."""

import numpy as np

from globalconv.tasks.classification import Classification, Examples
from globalconv.tasks.hold_out import three_ways


class Digits(Classification):
    """1797 handwritten digits of 8 x 8 grey values, as sequences of 64 pixel tokens, row by row.

    Comes with scikit-learn (a copy of the test set of UCI's "Optical Recognition of Handwritten
    Digits"). 60/20/20 %, stratified. Not MNIST, which has 28 x 28 pixels.
    """

    kind = "digits"
    raw_values = "raw pixels"

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        pixels, classes = load_digits(return_X_y=True)
        examples = Examples(pixels.astype(np.uint8)[:, :, None], classes.astype(np.int64))
        splits = zip(("train", "validation", "test"), three_ways(examples.classes), strict=True)
        super().__init__(
            "digits",
            {split: examples.take(indices) for split, indices in splits},
            classes=[str(digit) for digit in range(10)],
            options={},
            source="scikit-learn's handwritten digits (8 x 8 pixels)",
        )
