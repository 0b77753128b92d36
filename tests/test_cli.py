from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from conftest import picture_pixels
from hybridface.cli import COMMANDS, main
from hybridface.config import Recipe
from hybridface.data.sources import source_kinds
from hybridface.files import digest_of
from hybridface.tasks import task_types
from hybridface.training.train import TrainedRun
from tiny_models import EXPRESSIONS, write_model
from tiny_runs import CLASSES, CONTENT, write_recipe

Ran = subprocess.CompletedProcess[str]
Write = Callable[..., Path]
COMMAND_NAMES = [command.__name__ for command in COMMANDS]
HEAVY = ("torch", "pytorch_lightning", "timm", "onnxruntime", "numpy", "PIL", "matplotlib", "scipy")
TELL_MODULES = f"""
import sys
from hybridface.cli import main
try:
    main()
finally:
    print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def spawn(*arguments: str | Path, code: str | None = None, cache: Path | None = None) -> Ran:
    """Run the command line in a process of its own."""
    start = ["-c", code] if code else ["-m", "hybridface"]
    environment = os.environ | ({"HYBRIDFACE_CACHE": str(cache)} if cache else {})
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Return a function that runs the command line here, where torch is loaded already."""

    def run(*arguments: str | Path) -> Ran:
        command = ["hybridface", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        return Ran(command, left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return run


def one_message(ran: Ran) -> str:
    """Return what a failed command says, which is for people."""
    assert ran.stdout == ""
    assert ran.stderr.startswith("hybridface: ")
    assert "Traceback" not in ran.stderr
    return ran.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "tiny.yaml")


@pytest.mark.parametrize(
    "command",
    ["", "data", "data check", "data list", "data sheet", *COMMAND_NAMES],
)
def test_help_loads_nothing_heavy(command: str) -> None:
    ran = spawn(*command.split(), "--help", code=TELL_MODULES)
    assert ran.returncode == 0
    assert "Usage:" in ran.stdout
    assert ran.stderr.strip() == ""


def test_help_names_every_command() -> None:
    shown = spawn("--help").stdout
    for command in ("data", *COMMAND_NAMES):
        assert f"\n  {command} " in shown


WRONG_RECIPES = {
    "trainig.epochs=1": "did you mean 'training'",
    "training.epoch=1": "did you mean 'training.epochs'",
    "data.folds.cuont=3": "did you mean 'data.folds.count'",
    "training.epochs=many": "training.epochs: Input should be a valid integer",
    "no override": "write key=value",
}


@pytest.mark.parametrize("override", WRONG_RECIPES)
def test_wrong_keys_exit_with_2_before_torch_is_loaded(override: str, recipe: Path) -> None:
    ran = spawn("train", recipe, override, code=TELL_MODULES)
    assert ran.returncode == 2
    assert WRONG_RECIPES[override] in one_message(ran)
    assert ran.stderr.splitlines()[-1] == ""  # the heavy modules that were loaded


WRONG_NAMES = {
    "tasks.puzle={}": "unknown task 'puzle': did you mean 'puzzle'",
    "tasks.puzzle.gird=3": "did you mean 'grid'",
    "tasks.puzzle.grid=3": "the nearest that fit are 30 and 33",
    "tasks.expression.label=mood": "no label column 'mood'; it has: expression",
    "data.source=drwn:100": "unknown kind of data 'drwn': did you mean 'drawn'",
    "data.source=drawn:100?sed=1": "did you mean 'seed'",
    "backbone.name=test_eficientnet": "did you mean 'test_efficientnet'",
    "data.folds={count: 3, test: 3}": "numbered from 0 to 2",
    "data.source=folder:/nowhere": "does not exist",
}


@pytest.mark.parametrize("override", WRONG_NAMES)
@pytest.mark.usefixtures("drawn_cache")
def test_wrong_names_are_refused(override: str, recipe: Path, call: Callable[..., Ran]) -> None:
    ran = call("train", recipe, override, "--quiet")
    assert ran.returncode == (1 if "nowhere" in override else 2)
    assert WRONG_NAMES[override] in one_message(ran)
    assert not list(recipe.with_suffix("").glob("[!.]*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), ("[1, 2]", "expected a mapping"), ("a: [", "not valid YAML")],
)
def test_recipes_that_are_none(content: str | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    if content is not None:
        file.write_text(content)
    for command in ("train", "study", "config"):
        ran = spawn(command, file)
        assert ran.returncode == 2
        assert said in one_message(ran)


def test_failure_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    (tmp_path / "face.png").write_bytes(b"not a picture")
    ran = spawn("predict", tmp_path / "face.png", "--model", tmp_path / "model.onnx")
    assert ran.returncode == 1
    assert "model.onnx" in one_message(ran)


def test_data_list_names_each_kind_with_its_layout() -> None:
    ran = spawn("data", "list", code=TELL_MODULES)
    assert ran.returncode == 0
    for name, kind in source_kinds().items():
        assert f"{name}\n    {kind.layout}\n" in ran.stdout
        for option in kind.Options.model_fields:
            assert f"?{option}=" in ran.stdout
    table = ran.stdout.split("\ncsv\n", 1)[1].split("\ndrawn\n", 1)[0]
    for column in ("image_path", "usage", "partition", "person", "subject"):
        assert column in table
    assert "torch" not in ran.stderr
    options = re.findall(r"^    \?(.*)$", ran.stdout, re.MULTILINE)
    assert {"seed=0", "flips=true", "split=", "margin=0.3"} <= set(options)
    assert not re.search("None|True|False|\\(\\)", " ".join(options))


def test_tasks_are_listed_with_their_options(call: Callable[..., Ran]) -> None:
    shown = call("tasks").stdout
    for name, kind in task_types().items():
        start = shown.index(f"{name}: {kind.summary}")
        for option in kind.Config.model_fields:
            assert f"    {option}: " in shown[start:]
    said = [yaml.safe_load(line) for line in re.findall(r"^    (\w+: .*)$", shown, re.MULTILINE)]
    assert {"hole_side": [0.25, 0.5]} in said and {"supervise": None} in said
    assert "Config(" not in shown


def test_config_prints_a_recipe_that_says_everything(
    recipe: Path, call: Callable[..., Ran]
) -> None:
    ran = call("config", recipe, "training.learning_rate=1e-3", "tasks.inpaint=null")
    content = yaml.safe_load(ran.stdout)
    assert content["training"]["learning_rate"] == 0.001
    assert content["training"]["epochs"] == CONTENT["training"]["epochs"]
    assert set(content["tasks"]) == {"expression", "puzzle"}
    assert set(content["tasks"]["puzzle"]) == set(task_types()["puzzle"].Config.model_fields)
    assert set(content) == set(Recipe.model_fields)
    again = recipe.with_name("again.yaml")
    again.write_text(ran.stdout)
    assert call("config", again).stdout == ran.stdout


@pytest.mark.usefixtures("drawn_cache")
def test_train_says_where_the_model_is(recipe: Path, call: Callable[..., Ran]) -> None:
    ran = call("train", recipe, "training.epochs=1", "tasks.inpaint=null", "--quiet")
    assert ran.returncode == 0
    assert "test: accuracy 0." in ran.stdout
    assert "95 %" in ran.stdout
    for line, name in zip(ran.stdout.splitlines()[-2:], ("model.onnx", "report.html"), strict=True):
        place = Path(line.partition(": ")[2])
        assert place == recipe.with_suffix("") / name
        assert place.exists()
    refused = call("train", recipe, "training.epochs=1", "tasks.inpaint=null")
    assert refused.returncode == 2
    assert "already holds a run" in one_message(refused)
    again = call("train", recipe, "training.epochs=1", "tasks.inpaint=null", "--resume")
    assert again.stdout == ran.stdout


@pytest.mark.usefixtures("drawn_cache")
def test_train_counts_what_it_skipped_and_names_the_first(
    tmp_path: Path, call: Callable[..., Ran]
) -> None:
    faces = tmp_path / "faces"
    for number in range(40):
        path = faces / CLASSES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_pixels(number, 32)).save(path)
    for name in ("x.png", "y.png"):
        (faces / CLASSES[0] / name).write_text("no picture")
    changes: dict[str, Any] = {
        "tasks": {"puzzle": None, "inpaint": None},
        "training": {"epochs": 1},
    }
    source = {"source": f"folder:{faces}", "folds": {"count": 4}}
    recipe = write_recipe(tmp_path / "run.yaml", data=source, **changes)
    ran = call("train", recipe, "--quiet")
    assert ran.returncode == 0, ran.stderr
    first, *_ = ran.stdout.splitlines()
    assert re.fullmatch(r"skipped: 2 in the data, the first .*x\.png: not a picture .*", first)


@pytest.mark.usefixtures("drawn_cache")
def test_report_shows_so_many_mistakes_or_no_pictures(
    tiny_run: TrainedRun, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    page = tmp_path / "page.html"
    ran = call("report", tiny_run.folder, "--out", page, "--mistakes", "2")
    assert (ran.returncode, ran.stdout) == (0, f"{page}\n")
    assert page.read_text().count("<li><figure>") == 2
    assert "It must not be published" in page.read_text()
    assert call("report", tiny_run.folder, "--out", page, "--no-pictures").returncode == 0
    assert not any(each in page.read_text() for each in ("<img", "drawn-0-", "published"))
    assert call("report", tiny_run.folder, "--mistakes=-1").returncode == 2
    model = (tiny_run.folder / "model.onnx").read_bytes()
    refused = call("report", tiny_run.folder, "--out", tiny_run.folder / "model.onnx")
    assert refused.returncode == 2
    assert "expected the name of a .html file" in one_message(refused)
    assert (tiny_run.folder / "model.onnx").read_bytes() == model
    refused = call("report", tmp_path)
    assert refused.returncode == 2
    assert "not a run folder" in one_message(refused)


def test_evaluate_prints_one_json_object(tiny_run: TrainedRun, drawn_pictures: Path) -> None:
    ran = spawn(
        "evaluate", tiny_run.folder, "--data", "drawn:40?seed=1", "--json", cache=drawn_pictures
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert set(said["tasks"]) == {"expression"}
    accuracy = said["tasks"]["expression"]["accuracy"]
    low, high = accuracy["ci95"]
    assert 0 <= low <= accuracy["value"] <= high <= 1
    assert said["split"] == "test"
    assert said["count"] == said["tasks"]["expression"]["count"] > 0


def test_evaluation_is_that_of_the_run(
    tiny_run: TrainedRun, drawn_cache: Path, call: Callable[..., Ran]
) -> None:
    source = CONTENT["data"]["source"]
    said = json.loads(call("evaluate", tiny_run.folder, "--data", source, "--json").stdout)
    ours, theirs = said["tasks"]["expression"], tiny_run.result["test"]
    assert ours["accuracy"] == theirs["accuracy"]
    assert ours["confusion"]["counts"] == theirs["confusion"]["counts"]
    assert ours["nll"]["value"] == pytest.approx(theirs["nll"]["value"], abs=1e-4)
    text = call("evaluate", tiny_run.folder, "--data", source).stdout
    assert f"{ours['count']}" in text


def test_compare_takes_runs_models_and_kept_evaluations(
    tiny_run: TrainedRun, drawn_cache: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    source, kept = CONTENT["data"]["source"], tmp_path / "kept.npz"
    call("evaluate", tiny_run.folder, "--data", source, "--out", kept)
    for other, options in (
        (tiny_run.folder, []),
        (kept, []),
        (tiny_run.folder / "model.onnx", ["--data", source]),
    ):
        ran = call("compare", tiny_run.folder, other, "--json", *options)
        assert (ran.returncode, ran.stderr) == (0, "")
        said = json.loads(ran.stdout)
        task = said["tasks"]["expression"]
        assert task["a"]["accuracy"] == task["b"]["accuracy"] == tiny_run.result["test"]["accuracy"]
        assert task["difference"]["accuracy"] == {"value": 0, "ci95": [0, 0]}
        assert task["agreement"]["value"] == 1
        assert task["mcnemar"]["p_value"] is None  # drawn faces have persons, several pictures each
        assert (said["split"], said["count"]) == ("test", tiny_run.result["test"]["count"])
    assert "split val" in call("compare", tiny_run.folder, tiny_run.folder, "--split", "val").stdout


def test_compare_refuses_in_one_message(
    tiny_run: TrainedRun, drawn_cache: Path, tmp_path: Path, call: Callable[..., Ran]
) -> None:
    run, other, broken = tiny_run.folder, tmp_path / "other.npz", tmp_path / "broken.npz"
    call("evaluate", run, "--data", "drawn:40?seed=1&pixels=32", "--out", other)
    broken.write_bytes(other.read_bytes()[:-50])
    for place, code, said in (
        (other, 2, "measured on different pictures: "),
        (broken, 1, "not predictions that hybridface kept, or damaged"),
        (run / "model.onnx", 2, "a model keeps no predictions"),
        (run / "predictions.npz", 2, "name the run's folder"),
        (tmp_path / "none", 2, "does not exist"),
        (tmp_path, 2, "holds no predictions.npz"),
    ):
        ran = call("compare", run, place)
        assert ran.returncode == code
        assert said in one_message(ran)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["predict", "x.jpg", "--no-detect", "--threshold", "0.5"], "--threshold"),
        (["predict", "x.jpg", "--no-detect", "--detector", "mine:Own"], "--detector"),
        (["serve", "--no-detect", "--longest-side", "640"], "--longest-side"),
        (["study", "any.yaml", "--ray", "local", "--jobs", "2"], "--jobs"),
        (["study", "any.yaml", "--dry-run", "--page"], "--dry-run and --page"),
        (["study", "any.yaml", "--cell-cpus", "2"], "--cell-cpus"),
        (["study", "any.yaml", "--jobs", "2", "--cell-gpus", "0"], "--cell-gpus"),
        (["data", "check", "drawn:9", "--no-pictures"], "--no-pictures"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    command: list[str], said: str, call: Callable[..., Ran]
) -> None:
    refused = call(*command)
    assert refused.returncode == 2
    assert f"hybridface: {said}: " in one_message(refused)


@pytest.mark.parametrize("form", [["--no-detect"], ["--json"], ["--csv", "--no-detect"]])
def test_predict_never_loads_torch(
    form: list[str], tiny_run: TrainedRun, tmp_path: Path, write_picture: Write
) -> None:
    pictures = [write_picture(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    ran = spawn("predict", *pictures, "--model", tiny_run.folder, *form, code=TELL_MODULES)
    assert ran.returncode == 0, ran.stderr
    faces = 0 if form == ["--json"] else 3
    without = "" if faces else ", 3 without one"
    said, modules = ran.stderr.splitlines()
    assert said == f"{faces} faces in 3 pictures{without}"
    assert set(modules.split()) == {"numpy", "onnxruntime", "PIL"}
    assert all(picture.name in ran.stdout for picture in pictures)
    if form == ["--json"]:
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [line["faces"] for line in lines] == [[], [], []]


def test_predict_takes_one_form(tmp_path: Path, write_picture: Write) -> None:
    picture = write_picture(tmp_path / "1.png")
    ran = spawn("predict", picture, "--json", "--csv")
    assert ran.returncode == 2
    assert "give one of them" in one_message(ran)


@pytest.mark.parametrize("arguments", [("data", "list"), ("tasks",), ("--version",)])
def test_a_reader_that_leaves_early_is_no_traceback(arguments: tuple[str, ...]) -> None:
    """Whether the output is longer than Python holds back or not."""
    command = [sys.executable, "-m", "hybridface", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_output_that_cannot_be_written_is_named() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "hybridface", "--version"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    said = "hybridface: the output cannot be written (No space left on device)\n"
    assert (ran.returncode, ran.stderr) == (1, said)


def test_output_may_be_closed() -> None:
    command = f"{sys.executable} -m hybridface --version >&-"
    ran = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="closes outputs by a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_predict_writes_its_file_whichever_outputs_are_closed(
    closed: str, tmp_path: Path, write_picture: Write
) -> None:
    model = write_model(tmp_path / "m.onnx", {"expression": EXPRESSIONS})
    crop, out = write_picture(tmp_path / "a.png"), tmp_path / "faces.csv"
    command = f"{sys.executable} -m hybridface predict --no-detect --model {model} {crop} {closed}"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    subprocess.run(["sh", "-c", f"{command} --out {out}"], check=True)
    head, row = out.read_text().splitlines()
    assert head.startswith("image,left,") and row.startswith(f"{crop},0.0,")


@pytest.mark.parametrize(("command", "option"), [("predict a.png", "--draw"), ("demo", "--out")])
def test_an_empty_name_is_not_the_working_directory(
    command: str,
    option: str,
    call: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = call(*command.split(), option, "")
    assert ran.returncode == 2
    assert f"{option}: an empty name; name a folder" in one_message(ran)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    ["report LONG", "export default LONG.onnx", "calibrate default LONG.onnx",
     "data sheet drawn:4 --out LONG.png"],
)  # fmt: skip
def test_a_name_too_long_is_no_defect(command: str, call: Callable[..., Ran]) -> None:
    ran = call(*command.replace("LONG", "l" * 300).split())
    assert ran.returncode == 2
    assert re.search(
        r"l{300}\S*: File name too long; name another place$", one_message(ran).strip()
    )


def test_ctrl_c_says_so(call: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hybridface.data.sources.source_kinds", stopped)
    ran = call("data", "list")
    assert (ran.returncode, ran.stderr) == (130, "hybridface: stopped\n")


@pytest.mark.parametrize("loaded", ["typer", "hybridface.cli.models"])
def test_ctrl_c_while_the_command_line_is_loaded_says_so(loaded: str) -> None:
    code = f"""
import sys
from importlib.abc import MetaPathFinder
class Stopped(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{loaded}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stopped())
from hybridface.__main__ import main
main()
"""
    ran = spawn("tasks", code=code)
    assert (ran.returncode, ran.stderr) == (130, "hybridface: stopped\n")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EIO, "broken"), True),
        (KeyError(), True),
    ],
)
def test_a_thread_that_fails_on_a_full_disk_is_silent(
    error: Exception, shown: bool, call: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> dict[str, Any]:
        thread = threading.Thread(target=raise_it)
        thread.start()
        thread.join()
        return {}

    def raise_it() -> None:
        raise error

    monkeypatch.setattr("threading.excepthook", threading.excepthook)
    monkeypatch.setattr("hybridface.data.sources.source_kinds", failing)
    ran = call("data", "list")
    assert ran.returncode == 0
    assert ("Traceback" in ran.stderr) == shown


def test_a_name_beyond_the_terminal_s_letters_and_an_odd_palette_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model.onnx", {"expression": EXPRESSIONS})
    place = tmp_path / "ü日😀.png"
    palette = Image.new("RGB", (8, 8), "red").quantize(4)
    palette.save(place, transparency=bytes(range(4)))  # of which Pillow warns
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for form in ("jsonl", "csv", "table"):
        ran = spawn("predict", place, "--no-detect", "--model", model, "--format", form)
        assert (ran.returncode, ran.stderr) == (0, "1 faces in 1 pictures\n")
        said = json.loads(ran.stdout)["image"] if form == "jsonl" else ran.stdout
        assert ("ü日😀.png" if form == "jsonl" else "\\xfc\\u65e5\\U0001f600.png") in said


@pytest.mark.usefixtures("drawn_cache")
def test_what_was_trained_stays_where_the_export_fails(
    call: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no such operator")

    recipe = write_recipe(tmp_path / "run.yaml", training={"epochs": 1})
    with monkeypatch.context() as patched:
        patched.setattr("torch.onnx.export", fails)
        ran = call("train", recipe, "--quiet")
        again = call("train", recipe, "--quiet", "--resume")
    run = tmp_path / "run"
    assert ran.returncode == 1
    assert (
        "model.onnx: the model cannot be exported: no such operator; figures, weigh" in ran.stderr
    )
    assert "test: accuracy" in ran.stdout
    assert "model:" not in ran.stdout
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["accuracy"]["value"] >= 0
    assert "no such operator" in result["not_exported"]
    assert {"best.safetensors", "report.html"} <= {path.name for path in run.iterdir()}
    assert (again.returncode, again.stdout, again.stderr) == (1, ran.stdout, ran.stderr)
    assert "no such operator" in (run / "report.html").read_text()
    at_last = call("train", recipe, "--quiet", "--resume")
    assert at_last.returncode == 0, at_last.stderr
    assert f"model: {run / 'model.onnx'}" in at_last.stdout
    now = json.loads((run / "result.json").read_text())
    assert 0 <= now.pop("onnx_difference") < 1e-4
    assert now.pop("model_digest") == digest_of(run / "model.onnx")
    assert now == {key: value for key, value in result.items() if key in now}
    assert "no such operator" not in (run / "report.html").read_text()
    assert call("predict", "docs/pictures", "--no-detect", "--model", run).returncode == 0


@pytest.mark.usefixtures("drawn_cache")
def test_a_model_that_was_put_into_a_run_without_one_stays(
    call: Callable[..., Ran], tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "run.yaml", training={"epochs": 1})
    assert call("train", recipe, "--quiet").returncode == 0
    run = tmp_path / "run"
    result = json.loads((run / "result.json").read_text())
    unexported = result | {"onnx_difference": None, "not_exported": "no such operator"}
    (run / "result.json").write_text(json.dumps(unexported))
    (run / "model.onnx").write_bytes(b"of the user's own making")
    again = call("train", recipe, "--quiet", "--resume")
    assert again.returncode == 0, again.stderr
    assert (run / "model.onnx").read_bytes() == b"of the user's own making"
    assert "not_exported" not in json.loads((run / "result.json").read_text())
