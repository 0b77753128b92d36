"""Studies: arms compared over seeds, cell by cell, each row written as its cell ends."""

from hybridface.study.config import ArmConfig, Cell, StudyConfig, TuningGroup, load_study
from hybridface.study.runner import Study

__all__ = ["ArmConfig", "Cell", "Study", "StudyConfig", "TuningGroup", "load_study"]
