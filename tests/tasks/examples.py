"""Small data in files, and a small task of every kind."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.tasks import (
    Copy,
    Digits,
    Fashion,
    NumberWords,
    Recall,
    Reverse,
    Sort,
    Table,
    Task,
    Text,
    Translation,
)

FASHION_FILES = {
    "train-images-idx3-ubyte": "images",
    "train-labels-idx1-ubyte": "labels",
    "t10k-images-idx3-ubyte": "images",
    "t10k-labels-idx1-ubyte": "labels",
}


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """``array`` in the IDX format, gzipped if the name ends in .gz."""
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_fashion(
    folder: Path, rng: np.random.Generator, *, num_train: int = 200, num_test: int = 60, suffix: str = ""
) -> dict[str, NDArray[np.uint8]]:
    """The four files of a set of random images; returns their arrays."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for name, content in FASHION_FILES.items():
        num = num_train if name.startswith("train") else num_test
        pixels = rng.integers(256, size=(num, 28, 28), dtype=np.uint8)
        arrays[name] = pixels if content == "images" else np.arange(num, dtype=np.uint8) % 10
        write_idx(folder / f"{name}{suffix}", arrays[name])
    return arrays


def write_records(path: Path, first: int, num: int) -> Path:
    """``num`` lines of 8 bytes that are found nowhere else: the numbers from ``first``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(first, first + num)))
    return path


def write_prose(path: Path, rng: np.random.Generator, num: int) -> Path:
    """``num`` bytes of words over a small alphabet, so that n-grams and repeats are common."""
    words = ["".join(rng.choice(list("abcdeé"), size=rng.integers(2, 7))) for _ in range(60)]
    text = " ".join(rng.choice(words, size=num // 3)).encode()
    path.write_bytes(text[:num].decode(errors="ignore").encode())
    return path


def write_csv(path: Path, rng: np.random.Generator, *, classes: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """40 random sequences of length 6 for each class, the class in column ``kind``."""
    rows = [
        ",".join(
            [
                *(f"{value:.6f}" for value in rng.normal(size=3)),
                name,
                *(f"{v:.6f}" for v in rng.normal(size=3)),
            ]
        )
        for name in classes
        for _ in range(40)
    ]
    path.write_text("\n".join(["t0,t1,t2,kind,t3,t4,t5", *rows, ""]))
    return path


def write_npz(path: Path, rng: np.random.Generator) -> Path:
    """60 random sequences (length 9, 2 channels) of two classes."""
    np.savez(path, X=rng.normal(3.0, 5.0, size=(60, 9, 2)), y=np.arange(60) % 2)
    return path


def write_ragged_npz(path: Path, rng: np.random.Generator, **more: Any) -> Path:
    """90 random sequences of 3 to 11 positions (2 channels) of three classes, with NaN as padding and their lengths."""
    lengths = rng.integers(3, 12, size=90)
    lengths[:9] = 11  # a longest one, wherever the split puts them
    values = rng.normal(3.0, 5.0, size=(90, 11, 2))
    values[np.arange(11) >= lengths[:, None]] = np.nan
    np.savez(path, X=values, y=np.arange(90) % 3, lengths=lengths, **more)
    return path


def write_parallel_text(path: Path, rng: np.random.Generator, num: int = 700) -> Path:
    """``num`` lines of different sentences, and each with its words turned round and in capitals."""
    words = ["".join(rng.choice(list("abcdeé"), size=rng.integers(2, 6))) for _ in range(60)]
    sentences = {" ".join(rng.choice(words, size=rng.integers(4, 9))) for _ in range(2 * num)}
    lines = [f"{s}\t{' '.join(reversed(s.split())).upper()}\n" for s in sorted(sentences)[:num]]
    path.write_text("".join(lines))
    return path


def _text_file(folder: Path, rng: np.random.Generator) -> Task:
    # 48 bytes are about ten words of the sixty: two windows are never equal by chance, as they were with 24.
    return Text(str(write_prose(folder / "prose.txt", rng, 60_000)), 48, max_validation_windows=20)


def _text_folder(folder: Path, rng: np.random.Generator) -> Task:
    for number in range(40):
        write_records(folder / "notes" / f"{number}.txt", 1000 * number, 150 + number)
    return Text(str(folder / "notes"), 33, recall_context=2)


def _fashion(tokens: str) -> Callable[[Path, np.random.Generator], Task]:
    def build(folder: Path, rng: np.random.Generator) -> Task:
        write_fashion(folder / "fashion", rng)
        return Fashion(str(folder / "fashion"), tokens, num_validation=30, num_test=50)

    return build


SMALL_TASKS: dict[str, Callable[[Path, np.random.Generator], Task]] = {
    "digits": lambda folder, rng: Digits(),
    "text file": _text_file,
    "text folder": _text_folder,
    "recall": lambda folder, rng: Recall(),
    "recall, random filler": lambda folder, rng: Recall(
        41, 27, 5, power_a=0.5, filler="random", num_validation=60, num_test=60
    ),
    "fashion patches": _fashion("patches"),
    "fashion pixels": _fashion("pixels"),
    "table .npz": lambda folder, rng: Table(str(write_npz(folder / "waves.npz", rng))),
    "table, ragged and in groups": lambda folder, rng: Table(
        str(write_ragged_npz(folder / "ragged.npz", rng, patient=np.arange(90) // 4)),
        groups="patient",
        metric="balanced_accuracy",
    ),
    "copy": lambda folder, rng: Copy(9, num_validation=40, num_test=60),
    "reverse, many lengths": lambda folder, rng: Reverse(
        12, 30, min_length=4, num_validation=40, num_test=60
    ),
    "sort": lambda folder, rng: Sort(8, 12, num_validation=40, num_test=60),
    "number words": lambda folder, rng: NumberWords(num_validation=40, num_test=60),
    "translation": lambda folder, rng: Translation(
        str(write_parallel_text(folder / "pairs.tsv", rng)), 24, 300, beams=2, num_validation=30, num_test=30
    ),
    "table .csv": lambda folder, rng: Table(str(write_csv(folder / "waves.csv", rng)), "kind"),
}


def is_root() -> bool:
    """Whether file permissions do not bind this process."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
