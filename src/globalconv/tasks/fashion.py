"""Fashion-MNIST as sequences of patches or of pixels."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError, unknown_name
from globalconv.tasks.classification import Classification, Examples
from globalconv.tasks.files import user_path
from globalconv.tasks.hold_out import hold_out
from globalconv.tasks.idx import read_idx

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SIDE, PATCH = 28, 4
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
NUM_CLASSES = len(CLASSES)
FIX = "Install Debian's package dataset-fashion-mnist, or give the folder of the IDX files with --data."


class Fashion(Classification):
    """Fashion-MNIST (Xiao et al., arXiv 1708.07747): 28 x 28 grey pixels, ten kinds of clothing.

    ``tokens="patches"``: 49 tokens of 4 x 4 pixels (16 channels); "pixels": 784 tokens of one pixel.
    ``data`` is the folder of the four IDX files (train and t10k, images and labels, .gz or not); None: the
    folder of Debian's package dataset-fashion-mnist.

    The validation split is a stratified ``num_validation`` of the training images; the test split is the
    first ``num_test`` official test images. Raises InputError for missing or damaged files.
    """

    kind = "fashion"
    raw_values = "raw pixels"

    def __init__(
        self,
        data: str | None = None,
        tokens: Literal["patches", "pixels"] = "patches",
        *,
        num_validation: int = 2_000,
        num_test: int = 10_000,
    ) -> None:
        if tokens not in ("patches", "pixels"):
            raise unknown_name("kind of tokens", tokens, ("patches", "pixels"))
        folder = DEBIAN_FOLDER if data is None else user_path(data)
        trainable, test = _read_split(folder, "train"), _read_split(folder, "t10k")
        if not NUM_CLASSES <= num_validation <= len(trainable.classes) // 2 or num_test < 1:
            raise InputError(
                f"num_validation={num_validation} and num_test={num_test} do not fit: {folder} holds "
                f"{len(trainable.classes)} training images, so num_validation can be {NUM_CLASSES} to "
                f"{len(trainable.classes) // 2}, and num_test must be at least 1."
            )
        kept, held = hold_out(trainable.classes, num_validation / len(trainable.classes))
        splits = {
            "train": trainable.take(kept),
            "validation": trainable.take(held),
            "test": test.take(np.arange(min(num_test, len(test.classes)))),
        }
        as_tokens = _patches if tokens == "patches" else _pixels
        super().__init__(
            "fashion",
            {
                split: Examples(as_tokens(examples.inputs), examples.classes)
                for split, examples in splits.items()
            },
            classes=CLASSES,
            options={
                "data": None if data is None else str(folder),
                "tokens": tokens,
                "num_validation": num_validation,
                "num_test": num_test,
            },
            source=f"Fashion-MNIST ({SIDE} x {SIDE} pixels, as {tokens})",
        )


def _read_split(folder: Path, prefix: str) -> Examples:
    images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"))
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f"the {prefix} images in {folder} have shape {images.shape}; "
            f"Fashion-MNIST's are (n, {SIDE}, {SIDE}). {FIX}"
        )
    if labels.shape != images.shape[:1] or labels.size == 0 or labels.max() >= NUM_CLASSES:
        raise InputError(
            f"the {prefix} labels in {folder} have shape {labels.shape} but must give one of {NUM_CLASSES} "
            f"classes for each of the {len(images)} images. {FIX}"
        )
    return Examples(images, labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise InputError(f"Fashion-MNIST's file {name}[.gz] is not in {folder}. {FIX}")


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 28, 28) -> (n, 784, 1), row by row."""
    return images.reshape(len(images), SIDE * SIDE, 1)


def _patches(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 28, 28) -> (n, 49, 16): patches of 4 x 4 row by row, and the pixels of each row by row."""
    num = SIDE // PATCH
    cells = images.reshape(len(images), num, PATCH, num, PATCH).swapaxes(2, 3)
    return cells.reshape(len(images), num * num, PATCH * PATCH)
