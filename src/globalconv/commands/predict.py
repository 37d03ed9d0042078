"""``globalconv predict``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from globalconv.commands.options import DEVICE, HARDWARE, OUTPUT, option


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A classification run of a study.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New rows: an .npz, or a .csv or .tsv.")],
    batch_size: Annotated[int, option(HARDWARE, "N", "Rows per batch. Default: 128.")] = 128,
    device: Annotated[str, option(HARDWARE, "NAME", DEVICE)] = "auto",
    out: Annotated[Path, option(OUTPUT, "FILE", "CSV to write. Default: globalconv-predictions.csv.")] = Path(
        "globalconv-predictions.csv"
    ),
) -> None:
    """Classify new rows with a study's classifier, and score the predictions if the file has labels.

    Every option: docs/commands.md.
    """
    from globalconv.inference.prediction_file import PredictRequest, run_predict

    request = PredictRequest(run, file, out, device=device, batch_size=batch_size)
    run_predict(request, console=Console())
