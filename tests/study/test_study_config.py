from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hybridface.cli import app
from hybridface.config import Recipe
from hybridface.errors import UsageError
from hybridface.study import Study, StudyConfig, load_study
from hybridface.study.cells import StudyCells
from hybridface.study.config import TRAINING_VERSION, Cell
from hybridface.tasks import build_tasks, resolve_tasks
from hybridface.training.refusals import refuse_early
from study.conftest import StubbedStudy
from study.helpers import study_content

Stub = Callable[..., StubbedStudy]


def key(study: Mapping[str, Any], *overrides: str) -> str:
    config = StudyConfig.model_validate({**study, "tuning": {}, "arms": {"a": {"method": "a"}}})
    return StudyCells(config, overrides).arm("a", 0).key


def test_keys_are_of_what_decides_the_result(tmp_path: Path) -> None:
    study = study_content(tmp_path / "a.json")
    same = key(study)
    for override in (
        "training.threads=8", "training.device=cuda", "training.checkpoint_minutes=9",
        "data.cache_limit_gib=0", "data.workers=3",
    ):  # fmt: skip
        assert key(study, override) == same
    for override in (
        "training.epochs=3", "data.fraction=0.5", "tasks.expression.dropout=0.1", "data.size=48",
        "data.source=drawn:120?pixels=64", "data.source=folder:/faces?label=mood",
    ):  # fmt: skip
        assert key(study, override) != same
    here, there = ("data.source=folder:/a/faces", "data.source=folder:~/faces")
    assert key(study, here) == key(study, there)
    assert key(study, here) != key(study, "data.source=folder:/a/others")
    assert key(study, "data.source=drawn:120") != key(study, "data.source=drawn:240")
    assert key({**study, "name": "other", "title": "Other"}) == same


def test_weights_to_start_from_are_known_by_their_content(tmp_path: Path) -> None:
    study = study_content(tmp_path / "a.json")
    for name, content in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").write_bytes(content)

    def started(name: str) -> str:
        return key(study, f"backbone.checkpoint={tmp_path / name}")

    assert started("one") == started("same") == started("one/best.safetensors")
    assert len({started("one"), started("other"), key(study)}) == 3
    with pytest.raises(UsageError, match=r"backbone\.checkpoint: .*nowhere"):
        started("nowhere")


def test_an_option_at_its_default_changes_no_key(tmp_path: Path) -> None:
    study = study_content(tmp_path / "a.json")
    same = key(study)
    assert key(study, "backbone.zero_init_residual=true") == same
    assert key(study, "tasks.expression.label_smoothing=0.0", "data.problems=skip") == same


@pytest.mark.parametrize(
    ("batch_norm", "before"), [("joined", "ca8d0b4d86b21730"), ("split", "9a0329277a5f0330")]
)
def test_a_changed_default_keeps_the_keys_of_finished_cells(batch_norm: str, before: str) -> None:
    """The keys are those of version 2 when ``joined`` was the default."""
    content = {"data": {"source": "drawn:9"}, "tasks": {"expression": {}}}
    recipe = Recipe.model_validate(content | {"training": {"batch_norm": batch_norm}})
    assert Cell("arm", "method", 0, recipe, {}).key == before


def test_defaults_are_those_of_the_version() -> None:
    """Where one changes, ``TRAINING_VERSION`` rises, or ``FORMER_DEFAULTS`` says what it was."""
    assert TRAINING_VERSION == 2
    recipe = Recipe.model_validate({"data": {"source": "drawn:9"}, "tasks": {"expression": {}}})
    training = {
        "epochs": 60, "batch_size": 64, "learning_rate": 1e-3, "warmup": 0.1,
        "final_learning_rate": 0.01, "weight_decay": 0.05, "clip": 5.0, "ema": 0.99,
        "batch_norm": "split", "precision": "32-true", "compile": False, "validate_every": 1,
        "select": "accuracy", "test": True,
    }  # fmt: skip
    assert training.items() <= recipe.training.model_dump().items()
    assert recipe.augment.model_dump().items() >= {"level": "strong", "views": 1}.items()
    backbone = {"init": "random", "zero_init_residual": True, "drop_path": 0.0}
    assert backbone.items() <= recipe.backbone.model_dump().items()
    data = {"size": 48, "validation": 0.1, "fraction": 1.0, "drop_duplicates": True}
    assert data.items() <= recipe.data.model_dump().items()
    options: dict[str, dict[str, Any]] = {
        "expression": {
            "weight": 1.0, "class_weights": "none", "label_smoothing": 0.0, "dropout": 0.3,
        },
        "puzzle": {"weight": 1.0, "view": "own", "supervise": "intact", "grid": 3},
        "inpaint": {
            "weight": 1.0, "view": "own", "supervise": "intact", "holes": 2,
            "hole_side": [0.25, 0.5], "hole_weight": 1.0, "rest_weight": 0.1, "error": "l1",
            "decoder_channels": 32, "intermediate_maps": True,
        },
    }  # fmt: skip
    for task in build_tasks({name: {} for name in options}):
        assert options[task.name].items() <= task.config.model_dump(mode="json").items()


def test_folds_follow_the_seed(tmp_path: Path) -> None:
    study = study_content(tmp_path / "a.json", tuning=None, by_seed=["data.folds.test"])
    study |= {"tuning": {}, "arms": {"a": {"method": "a"}}}
    config = StudyConfig.model_validate(study)
    cells = StudyCells(config, ["data.folds.count=3"])
    folds = [cells.arm("a", seed).recipe.data.folds for seed in range(5)]
    assert [fold.test for fold in folds if fold] == [0, 1, 2, 0, 1]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "tuning seed": ({"tuning_seed": 1}, "tuning_seed 1 is one of seeds"),
    "group of an arm": (
        {"arms": {"supervised": {"tuned": ["supervisd"]}}},
        "did you mean 'supervised'",
    ),
    "late group": ({"tuning": {"supervised": {"after": ["supervised"]}}}, "earlier tuning group"),
    "key": ({"seed": [1]}, "did you mean 'seeds'"),
    "key of an arm": ({"arms": {"supervised": {"strech": 2}}}, "strech"),
    "name": ({"name": "../up"}, "name: "),
    "seeds": ({"seeds": [0, 3, 3]}, "seeds names 3 more than once"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_studies_are_refused(what: str, study_file: Callable[..., Path]) -> None:
    changes, said = WRONG[what]
    with pytest.raises(UsageError, match=said):
        load_study(study_file(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"puzzle_own": {"change": {"trainig": {}}}}}, "did you mean 'training'"),
        ({"arms": {"puzzle_own": {"change": {"tasks": {"puzle": {}}}}}}, "did you mean 'puzzle'"),
        ({"arms": {"puzzle_own": {"change": {"tasks": {"puzzle": {"gird": 2}}}}}}, "'grid'"),
        ({"tuning": {"supervised": {"trials": [{"training": {"epochs": 0}}]}}}, "epochs"),
        (
            {"arms": {"puzzle_own": {"change": {"backbone": {"name": "resnet8"}}}}},
            "study tiny, arm puzzle_own: unknown timm backbone 'resnet8': did you mean",
        ),
    ],
)
def test_a_wrong_arm_is_refused_before_anything_is_trained(
    changes: dict[str, Any], said: str, stub: Stub
) -> None:
    study = stub(**changes)
    with pytest.raises(UsageError, match=said):
        study.run()
    assert study.started == []


def test_a_recipe_is_no_study() -> None:
    with pytest.raises(UsageError, match=r"drawn\.yaml: a recipe, which 'hybridface train' takes"):
        load_study(ROOT / "configs" / "drawn.yaml")


ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "configs" / "studies").glob("*.yaml"))
TUNED = {"rafdb-20", "pose", "gender"}  # say how, at length
METHODS = {
    "supervised", "supervised_stretched", "supervised_two_views", "puzzle", "inpaint_pixel",
    "inpaint_perceptual", "puzzle+inpaint", "drloc", "rotation", "pretrain_finetune",
    "pretrain_cotrain",
}  # fmt: skip


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_the_studies_that_come_along_can_be_trained(file: Path, hybridface_cache: Path) -> None:
    config = load_study(file)
    assert config.name == file.stem
    cells = Study(config.model_copy(update={"results": hybridface_cache / "rows.json"}))
    planned = cells.planned_cells()
    assert len({cell.key for cell in planned}) == len(planned)
    for cell in planned:
        refuse_early(*resolve_tasks(cell.recipe))
    assert {arm.method for arm in config.arms.values()} <= METHODS
    assert file.stem in TUNED or len(file.read_text(encoding="utf-8").splitlines()) <= 40


def test_the_cells_of_the_study_that_was_run_keep_their_keys(hybridface_cache: Path) -> None:
    config = load_study(ROOT / "configs" / "studies" / "rafdb-20.yaml")
    stored = ROOT / config.results
    planned = Study(config.model_copy(update={"results": stored})).planned_cells()
    rows = json.loads(stored.read_text())
    assert len(rows) >= 6
    assert {row["cell"] for row in rows} <= {cell.key for cell in planned}


def test_first_stages_are_in_the_key_but_for_defaults(tmp_path: Path) -> None:
    study = study_content(tmp_path / "a.json")
    both = ["tasks.puzzle.grid=2", "pretrain.epochs=3"]
    own = key(study, *both)
    assert own != key(study, both[0])
    assert own == key(study, *both, "pretrain.tasks={puzzle: {grid: 2}}")
    assert own == key(study, *both, "pretrain.tasks={puzzle: {grid: 2, part: 1.0}}")
    assert own != key(study, *both, "pretrain.tasks={puzzle: {grid: 2, part: 0.5}}")
    assert key(study, "training.measure_training_rows=true") == key(study)


def test_an_arm_without_labels_is_refused(stub: Stub) -> None:
    change = {"tasks": {"expression": None, "puzzle": {"grid": 2}}}
    with pytest.raises(UsageError, match="none of its tasks is supervised"):
        stub(arms={"puzzle_own": {"change": change}}).run()


def test_the_command_has_the_changes_that_were_made(study_file: Callable[..., Path]) -> None:
    changes = [
        "training.epochs=3",
        "data.source=drawn:90",
        "training.device=cpu",
        "data.unlabelled=rest",
        "tasks.expression.class_weights=root",
        "data.sources.a.source=drawn:9",
    ]
    command = Study(load_study(study_file()), changes).config.command
    assert (
        command
        == "hybridface study study.yaml training.epochs=3 tasks.expression.class_weights=root"
    )


@pytest.mark.parametrize("change", ["seed=5", "data.seed=5", "data={seed: 5, size: 48}"])
def test_changes_that_the_seeds_would_undo_are_refused(
    change: str, study_file: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match=f"{change}': study tiny sets .* by each of its seeds"):
        Study(load_study(study_file()), [change])


IGNORED: dict[str, tuple[dict[str, Any], str]] = {
    "run": ({"recipe": {"run": "runs/a"}}, "^recipe: .* a run folder of its own"),
    "seed": (
        {"recipe": {"seed": 5}},
        "^recipe: study tiny sets seed by each of its seeds, .*; leave",
    ),
    "by seed": ({"recipe": {"data": {"seed": 5}}}, r"^recipe: study tiny sets data\.seed by each"),
    "arm": (
        {"arms": {"supervised": {"change": {"seed": 5}}}},
        r"^arms\.supervised\.change: .* sets seed",
    ),
    "base": (
        {"tuning": {"supervised": {"base": {"run": "a"}}}},
        r"^tuning\.supervised\.base: .* run folder",
    ),
    "trial": (
        {"tuning": {"supervised": {"trials": [{}, {"seed": 1}]}}},
        r"^tuning\.supervised\.trials\.1: .* sets seed",
    ),
    "shorter trials": (
        {"tuning": {"supervised": {"trials_only": {"seed": 1}}}},
        r"^tuning\.supervised\.trials_only: .* sets seed",
    ),
    "run by seed": ({"by_seed": ["run"]}, "^study tiny, by_seed: .* run folder of its own"),
}


@pytest.mark.parametrize("what", IGNORED)
def test_what_a_study_sets_by_itself_is_refused_in_its_file(
    what: str, study_file: Callable[..., Path]
) -> None:
    changes, said = IGNORED[what]
    with pytest.raises(UsageError, match=said):
        Study(load_study(study_file(**changes)))


def test_a_run_folder_for_a_study_is_refused(study_file: Callable[..., Path]) -> None:
    ran = CliRunner().invoke(app, ["study", str(study_file()), "run=runs/mine"])
    assert isinstance(ran.exception, UsageError)
    assert ran.exception.exit_code == 2
    assert "override 'run=runs/mine': study tiny gives each training" in str(ran.exception)


def test_arms_that_read_no_test_split_are_refused(stub: Stub) -> None:
    study = stub(overrides=["training.test=false"])
    with pytest.raises(UsageError, match=r"arm supervised: training\.test is false"):
        study.run()
    assert not study.started


def test_arms_without_a_test_split_end_the_study(stub: Stub, tmp_path: Path) -> None:
    study = stub()
    shutil.copytree(study.run_folder, tmp_path / "untested")
    study.run_folder = tmp_path / "untested"
    result = json.loads((study.run_folder / "result.json").read_text())
    (study.run_folder / "result.json").write_text(json.dumps({**result, "test": None}))
    with pytest.raises(UsageError, match=r"arm supervised seed 0: no test picture .* data\.folds"):
        study.run()
    assert len([cell for cell in study.started if not cell.is_trial]) == 1


@pytest.mark.parametrize(
    ("also_on", "message"),
    [
        ({"a/b": "drawn:30"}, "also_on"),
        ({"other": "drwan:30"}, "drwan"),
        ({"other": "drawn:30?seeds=1"}, "seeds"),
    ],
)
def test_other_data_sets_that_are_named_wrongly_are_refused(
    also_on: dict[str, str], message: str, stub: Stub
) -> None:
    with pytest.raises(UsageError, match=message):
        stub(also_on=also_on)


def test_arms_of_one_name_are_one_method_under_several_conditions(stub: Stub) -> None:
    few = {"method": "supervised", "arm": "supervised", "change": {"data": {"fraction": 0.5}}}
    study = stub(arms={"supervised_few": few}, seeds=[0])
    rows = study.run()
    assert [(row["arm"], row["fraction"]) for row in rows] == [
        ("supervised", 1.0), ("puzzle_own", 1.0), ("supervised", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("training", [{"epoch": 3}, {"epochs": "many"}, None])
def test_a_wrong_schedule_of_a_stretched_arm_is_named(tmp_path: Path, training: object) -> None:
    arms = {"a": {"method": "a", "stretch": 2, "change": {"training": training}}}
    content = {**study_content(tmp_path / "a.json"), "tuning": {}, "arms": arms}
    with pytest.raises(UsageError, match="study tiny, arm a, training"):
        StudyCells(StudyConfig.model_validate(content)).arms()
