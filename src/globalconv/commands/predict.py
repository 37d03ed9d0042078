"""``globalconv predict``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def predict(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="A run of a classification: a directory in a study's runs/."),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An .npz with X, or a .csv or .tsv with the columns of the training file. With labels, the "
            "predictions are scored too.",
        ),
    ],
    batch_size: Annotated[int, typer.Option(help="Rows in a batch.")] = 128,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    out: Annotated[
        Path, typer.Option(help="CSV of the predicted class and the class probabilities; overwritten.")
    ] = Path("globalconv-predictions.csv"),
) -> None:
    """Classify new rows with a study's classifier."""
    from globalconv.prediction import PredictRequest, run_predict

    request = PredictRequest(run, file, out, device=device, batch_size=batch_size)
    run_predict(request, console=Console())
