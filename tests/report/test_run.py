"""Reports of runs: the figures of the files, whole without a network, defensive."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hybridface.errors import HybridFaceError
from hybridface.evaluation.numeric_predictions import NumericPredictions
from hybridface.report import numbers
from hybridface.report.comparison import write_comparison_report
from hybridface.report.run import write_run_report

from .helpers import RunBuilder, read

HOSTILE = "<script>alert(1)</script>"


def test_run_report_shows_what_the_files_say(build_run: RunBuilder) -> None:
    folder = build_run()
    path = write_run_report(folder)
    assert path == folder / "report.html"
    page = read(path)
    for shown in (
        "Training run puzzle_own",
        "66.00 (59.50 to 72.10)",  # test accuracy
        "67.00 (60.50 to 73.10)",  # validation accuracy
        "64.50 (58.00 to 70.60)",  # test accuracy of the last epoch
        "64.77 (58.00 to 66.00)",  # mean class accuracy
        "1.234",  # negative log-likelihood
        "6.78",  # calibration error
        "4,016,515",
        "5.0 min",
        "Trained on 840 pictures.",
        "drawn:4000",
        "train/0017.png",
        "cannot be decoded",
        "Validation was cut from training",
        "versions.torch 2.7.1",
        "tasks: expression: {}",
        "Slot accuracy (%)",
        "validation, negative log-likelihood",
        "Pictures with each expression, by split. Class train test angry 211 50",
        "Predicted class",
    ):
        assert shown in page.text, shown
    assert page.tags.count("img") == 9
    assert len(re.findall(r'<img [^>]*alt="puzzle, \w+, picture \d"', path.read_text())) == 9


def test_what_was_left_out_is_counted_and_the_first_named(build_run: RunBuilder) -> None:
    folder = build_run()
    data = json.loads((folder / "data.json").read_text())
    what = "no label in column 'expression'"
    data["problems"] = [{"where": f"{number:03}.png", "what": what} for number in range(1200)]
    data["dropped_duplicates"] = [f"train/{number:03}.png" for number in range(60)]
    data["dropped_from_validation"] = ["val/0001.png"]
    (folder / "data.json").write_text(json.dumps(data))
    page = read(write_run_report(folder))
    for shown in (
        "1,200 problems found in the data, skipped; the first 50",
        f"000.png {what}",
        f"049.png {what} and 1,150 more",
        "60 duplicates of held-out pictures dropped from training; the first 50",
        "train/049.png and 10 more",
        "1 duplicate of test pictures dropped from validation",
        "val/0001.png",
    ):
        assert shown in page.text, shown
    assert "050.png" not in page.text


def test_pictures_without_labels_are_counted_by_source(build_run: RunBuilder) -> None:
    folder = build_run()
    data = json.loads((folder / "data.json").read_text())
    sources = {"rest": 560, "folder:rest?unlabelled=true": 1200}
    data["unlabelled"] = {"sources": sources, "dropped_duplicates": 0, "problems": []}
    (folder / "data.json").write_text(json.dumps(data))
    text = read(write_run_report(folder)).text
    assert "rest: rows of the source, without their labels 560" in text
    assert "folder:rest?unlabelled=true 1,200" in text


@pytest.mark.parametrize("missing", ["data.json", "metrics.jsonl", "config.yaml", "samples.npz"])
def test_a_missing_optional_file_leaves_a_section_out(build_run: RunBuilder, missing: str) -> None:
    folder = build_run()
    (folder / missing).unlink()
    titles = {
        "data.json": "The data",
        "metrics.jsonl": "Learning curves",
        "config.yaml": "Recipe (config.yaml)",
        "samples.npz": "What the self-supervised tasks see",
    }
    page = read(write_run_report(folder))
    assert titles.pop(missing) not in page.text
    assert all(title in page.text for title in titles.values())


def test_only_a_result_is_enough(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run(test=None, test_last=None)
    bare = tmp_path / "bare"
    bare.mkdir()
    (folder / "result.json").rename(bare / "result.json")
    page = read(write_run_report(bare, tmp_path / "out" / "page.html"))
    assert "67.00 (60.50 to 73.10)" in page.text
    assert "on the validation set" in page.text


def test_a_run_that_goes_on_says_so(build_run: RunBuilder) -> None:
    folder = build_run()
    (folder / "result.json").unlink()
    page = read(write_run_report(folder))
    assert "has not finished" in page.text
    assert "Loss (no unit) of expression" in page.text


def test_a_model_that_is_not_there_is_accounted_for(build_run: RunBuilder) -> None:
    run = build_run(not_exported="no operator for it")
    page = read(write_run_report(run))
    assert "There is no model.onnx: no operator for it" in page.text
    (run / "model.onnx").write_bytes(b"made by hybridface export")
    assert "There is no model.onnx" not in read(write_run_report(run)).text


def test_other_measures_are_shown_by_name(build_run: RunBuilder) -> None:
    pose = {"yaw_error": {"value": 4.5678, "ci95": [4.1, 5.0]}, "count": 90}
    page = read(write_run_report(build_run(label="pose", val=pose, test=pose, test_last=None)))
    assert "Yaw error 4.568 (4.100 to 5.000)" in page.text


@pytest.mark.parametrize(("unit", "named"), [("metres", " (metres)"), ("", "")])
def test_small_errors_keep_their_digits_and_unit(
    build_run: RunBuilder, unit: str, named: str
) -> None:
    figures = {
        "mae": {"value": 0.00412, "ci95": [0.00387, 0.00432]},
        "bias": {"value": -0.00041, "ci95": None},
        "coverage": {"value": 0.95},
        "count": 40,
    }
    splits = {"val": figures, "test": figures, "test_last": figures}
    run = build_run(**splits, label="height", tasks={"tall": splits, "expression": splits})
    (run / "config.yaml").write_text("tasks:\n  tall: {type: age, label: height}\n")
    data = json.loads((run / "data.json").read_text())
    lies = {"count": [9], "mean": [0.0213], "deviation": [0.004], "least": [0.01], "most": [0.03]}
    data["numbers"] = {"height": {"names": ["height"], "unit": unit, "train": lies}}
    (run / "data.json").write_text(json.dumps(data))
    line = {"epoch": 1, "train": {"tall/mae": 0.01}, "val": {"mae": 0.02}}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    page = read(write_run_report(run))
    for shown in (
        f"Test mean absolute error{named} 0.00412",
        f"Mean absolute error{named} 0.00412 (0.00387 to 0.00432)",
        f"tall all Mean absolute error{named} 0.00412",
        f"Mean absolute error{named} of tall over training",
        f"Bias{named} -0.00041",
        "95.00",
        "height, train 9 0.021 0.004 0.010 0.030",
        "over pictures or, where it is known whose they are, over persons",
    ):
        assert shown in page.text, shown


def test_errors_by_what_is_true_are_drawn_by_person(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(numbers, "dot_intervals", lambda rows, *_: drawn.append(rows) or "<svg/>")
    true = np.linspace(20, 60, 64, dtype=np.float32)[:, None]
    wrong = np.repeat([1.0, 9.0], 4)[np.arange(64) % 8][:, None]  # two persons in each part
    said = np.concatenate([true + wrong, np.ones_like(true)], axis=1).astype(np.float32)
    keys = np.array([f"{row}.png" for row in range(64)])
    about = ("age", "regression", ("age",), "years", keys, true, said)
    widths, captions = [], []
    for persons in (None, np.arange(64) // 4):
        (gallery,) = numbers.error_parts(NumericPredictions(*about, persons), "run", "the test set")
        captions.append(gallery.figures[0].caption)
        widths.append(np.mean([row.interval.high - row.interval.low for row in drawn[-1]]))
    assert widths[1] > 1.3 * widths[0]
    assert "95% intervals over pictures" in captions[0]
    assert "95% intervals over persons" in captions[1]


def test_not_a_number_is_a_dash(build_run: RunBuilder) -> None:
    broken = {"accuracy": {"value": float("nan")}, "nll": {"value": None}, "count": 3}
    page = read(write_run_report(build_run(val=broken, test=None, test_last=None)))
    assert "Accuracy (%) \u2013" in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "data.json", "environment.json"])
@pytest.mark.parametrize("content", ["{", '"text"', '{"epoch": []}\n{', "\udcff"])
def test_a_broken_file_is_named(build_run: RunBuilder, name: str, content: str) -> None:
    folder = build_run()
    (folder / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(HybridFaceError, match=re.escape(str(folder / name))):
        write_run_report(folder)


def test_the_broken_line_is_named(build_run: RunBuilder) -> None:
    folder = build_run()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 41, "tra')
    with pytest.raises(HybridFaceError, match=r"metrics\.jsonl: .*line 41"):
        write_run_report(folder)


def test_broken_yaml_and_samples_are_named(build_run: RunBuilder) -> None:
    folder = build_run()
    (folder / "samples.npz").write_bytes(b"PK no archive")
    with pytest.raises(HybridFaceError, match=r"samples\.npz"):
        write_run_report(folder)
    np.savez(folder / "samples.npz", **{"puzzle/intact": np.zeros((2, 4, 4))})
    with pytest.raises(HybridFaceError, match=r"samples\.npz: puzzle/intact"):
        write_run_report(folder)
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(HybridFaceError, match=r"config\.yaml"):
        write_run_report(folder)


def test_an_uneven_confusion_matrix_is_refused(build_run: RunBuilder) -> None:
    test = {"confusion": {"classes": ["a", "b"], "counts": [[1, 2]]}}
    with pytest.raises(HybridFaceError, match=r"result\.json: test\.confusion"):
        write_run_report(build_run(test=test))


def test_class_counts_that_do_not_fit_are_refused(build_run: RunBuilder) -> None:
    folder = build_run()
    classes = {"expression": {"train": [1], "names": ["angry", "happy"]}}
    (folder / "data.json").write_text(json.dumps({"classes": classes}))
    with pytest.raises(HybridFaceError, match=r"data\.json: classes\.expression.*each name"):
        write_run_report(folder)


def test_curves_are_of_the_first_supervised_task_wherever_it_stands(build_run: RunBuilder) -> None:
    tasks = {"expression": {"val": None, "test": None}}
    run = build_run("puzzle_own", label="feeling", tasks=tasks)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        puzzle = {key: value for key, value in line["train"].items() if key.startswith("puzzle")}
        line["train"] = puzzle | line["train"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = read(write_run_report(run)).text
    assert "Accuracy (%) of expression over training. Training figures" in text
    assert "of puzzle over training. Training figures" not in text


def test_a_task_named_unlike_its_label_has_its_curves(build_run: RunBuilder) -> None:
    page = read(write_run_report(build_run(label="feeling")))
    assert "Loss (no unit) of expression over training" in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HybridFaceError, match="not a run folder"):
        write_run_report(tmp_path)


def test_hostile_names_are_escaped(build_run: RunBuilder, tmp_path: Path) -> None:
    folder = build_run()
    for name in ("result.json", "data.json", "environment.json", "metrics.jsonl"):
        text = (folder / name).read_text()
        for harmless in (
            "puzzle_own",
            "angry",
            "drawn:4000",
            "train/0017.png",
            "4 cores",
            "puzzle",
        ):
            text = text.replace(harmless, HOSTILE.replace("/", r"\/"))
        (folder / name).write_text(text)
    (folder / "config.yaml").write_text(f"name: {HOSTILE}\n")
    np.savez(
        folder / "samples.npz",
        **{"puzzle/<b>": np.zeros((1, 4, 4, 3), np.uint8)},
    )
    path = write_run_report(folder)
    page = read(path)
    assert HOSTILE in page.text
    assert "<script" not in path.read_text()
    compared = tmp_path / "compared.html"
    write_comparison_report({HOSTILE: folder}, compared, HOSTILE, HOSTILE, HOSTILE)
    assert HOSTILE in read(compared).text
