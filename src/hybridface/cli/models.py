"""The commands on finished models: predict, export and calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridface.cli.options import (
    CENTERFACE,
    BatchSize,
    DetectorName,
    LongestSide,
    NoDetect,
    Quiet,
    Threshold,
    decoding_progress,
    detector_options,
    folder_of,
)
from hybridface.errors import UsageError
from hybridface.extras import training_extra
from hybridface.inference.shipped import find_model, is_shipped


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Photos, folders, patterns, videos, or webcam (webcam:1)."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="A run folder or an ONNX file; without, the one that ships.")
    ] = None,
    *,
    no_detect: NoDetect = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a picture, each on a line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table, a row a face.")] = False,
    form: Annotated[
        str | None, typer.Option("--format", help="table, jsonl, csv or parquet; default by --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file that the result goes to.")] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="A folder for pictures and videos with the faces drawn in.",
            parser=folder_of("--draw"),
            metavar="<path>",
        ),
    ] = None,
    threshold: Threshold = None,
    longest_side: LongestSide = None,
    detector: DetectorName = CENTERFACE,
    every: Annotated[int, typer.Option(min=1, help="Of a video every so many frames.")] = 1,
    batch_size: BatchSize = 16,
    quiet: Quiet = False,
) -> None:
    """Find the faces in photos and videos and say what a model sees in each."""
    from hybridface.inference.predict import run_predict

    if as_json + as_csv + (form is not None) > 1:
        raise UsageError("--json, --csv and --format say the same thing; give one of them")
    code = run_predict(
        inputs, model, form="jsonl" if as_json else "csv" if as_csv else form, out=out,
        draw=draw, every=every, batch_size=batch_size, quiet=quiet,
        **detector_options(no_detect, detector, threshold, longest_side),
    )  # fmt: skip
    raise typer.Exit(code)


def export(
    model: Annotated[
        Path, typer.Argument(help="A run folder; or an ONNX file, or one that ships, as default.")
    ],
    out: Annotated[
        Path,
        typer.Argument(help="The ONNX file to write; or .safetensors, for the backbone in timm."),
    ],
    precision: Annotated[str, typer.Option(help="fp32, fp16, fp16-stored or int8.")] = "fp32",
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND:PATH to calibrate and compare on, several times; default a run's validation."
        ),
    ] = None,
    *,
    keep_ssl_heads: Annotated[
        bool, typer.Option("--keep-ssl-heads", help="Keep a run's self-supervised heads too.")
    ] = False,
    weights: Annotated[str | None, typer.Option(help="A run's best (the default) or last.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="The terms of a run's model, for the file's metadata.")
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="A run's training data in words; default its kind.")
    ] = None,
    least_agreement: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Part that must agree; default 1, 0.98 or 0.9 by precision."
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=8, help="How many pictures at most.")] = 512,
) -> None:
    """Write a run as one ONNX file for use, or such a file in another precision.

    What is written is compared with what it was made from on real pictures. To a name that ends in
    .safetensors goes the backbone alone, as weights that timm reads.
    """
    if out.suffix == ".safetensors":
        of_onnx = {
            "--precision": precision != "fp32", "--keep-ssl-heads": keep_ssl_heads,
            "--least-agreement": least_agreement is not None,
        }  # fmt: skip
        if given := [name for name, value in of_onnx.items() if value]:
            raise UsageError(f"{out}: {given[0]} is for an ONNX file; a backbone is as trained")
        _export_backbone(
            model, out, weights=weights, licence=licence, trained_on=trained_on, data=data or (),
            count=pictures,
        )  # fmt: skip
        return
    with training_extra():
        from hybridface.export.file import export_file
        from hybridface.export.run import LICENCE, export_run
    shared: dict[str, Any] = {
        "precision": precision, "data": data or (), "least_agreement": least_agreement,
        "count": pictures,
    }  # fmt: skip
    of_run = {
        "--weights": weights, "--licence": licence, "--trained-on": trained_on,
        "--keep-ssl-heads": keep_ssl_heads or None,
    }  # fmt: skip
    if _is_file(model):
        _refuse_of_run(model, of_run)
        found = export_file(find_model(model), out, **shared)
    else:
        found, crop = export_run(
            model, out, weights=weights or "best", keep_ssl_heads=keep_ssl_heads,
            licence=licence or LICENCE, trained_on=trained_on, progress=decoding_progress(),
            **shared,
        )  # fmt: skip
        if crop is None:
            print("crop: the default; it is measured on a run's own faces, where some are found")
        else:
            print(f"crop: {crop.scale:.2f} of the detector's box, measured on the pictures")
    for name, each in found.items():
        print(f"{name}: {each.describe()}")
    print(f"model: {out} ({out.stat().st_size / 1e6:.1f} MB, {precision})")


def _export_backbone(
    model: Path,
    out: Path,
    *,
    weights: str | None,
    licence: str | None,
    trained_on: str | None,
    data: Sequence[str],
    count: int,
) -> None:
    with training_extra():
        from hybridface.export.backbone import export_backbone_of_model, export_backbone_of_run
        from hybridface.export.run import LICENCE
    if _is_file(model):
        _refuse_of_run(
            model, {"--weights": weights, "--licence": licence, "--trained-on": trained_on}
        )
        call = export_backbone_of_model(find_model(model), out, data=data, count=count)
    elif data:
        raise UsageError(f"{model}: --data is for a model file; a run's backbone is as trained")
    else:
        call = export_backbone_of_run(
            model, out, weights=weights or "best", licence=licence or LICENCE,
            trained_on=trained_on,
        )  # fmt: skip
    print(f"backbone: {out} ({out.stat().st_size / 1e6:.1f} MB)\n{call}")


def _is_file(model: Path) -> bool:
    """Say whether a model is a file, or one that ships, and no run's folder."""
    return model.is_file() or (is_shipped(model) and not model.exists())


def _refuse_of_run(model: Path, options: Mapping[str, object]) -> None:
    """Refuse options that say something of a run, where a file is given."""
    if given := [name for name, value in options.items() if value is not None]:
        raise UsageError(
            f"{model}: is a file, of which the precision alone can change; "
            f"{given[0]} is for a run's folder"
        )


def calibrate(
    model: Annotated[
        Path, typer.Argument(help="A run folder; or an ONNX file, or one that ships, as default.")
    ],
    out: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    on: Annotated[
        list[Path] | None,
        typer.Option(
            help="What evaluate --out FILE.npz kept of held-out pictures, several times; default a "
            "run's validation."
        ),
    ] = None,
) -> None:
    """Write a model whose probabilities and deviations are as sure as it was right.

    One number a task is fitted to held-out pictures: a temperature, or a factor of an age's
    deviation. The answers themselves stay the same.
    """
    with training_extra():
        from hybridface.evaluation.predictions import load_predictions
        from hybridface.export.calibrated import calibrate as run

    found, left = run(model, out, [load_predictions(file) for file in on or ()])
    for name, each in found.items():
        print(f"{name}: {each.describe()}")
    for why in left:
        print(f"left as it is: {why}")
    print(f"model: {out}; hybridface evaluate says how sure it is of other pictures")
