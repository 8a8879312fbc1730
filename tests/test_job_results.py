"""Results of jobs as files: what is whole but no result counts as none, and is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minadder.experiments import jobs
from minadder.experiments.jobs import RESULT, as_text, make, read_result

EPOCH = {
    "epoch": 1,
    "lr": 0.1,
    "train_loss": 0.5,
    "train_accuracy": 0.5,
    "test_loss": 0.5,
    "test_accuracy": 0.5,
    "test_top5_accuracy": None,
    "seconds": 1.0,
}
JOB = make({}, "digits", 1, 0)
WHOLE = {"job": JOB, "diverged": None, "history": [EPOCH]}


def put(folder: Path, text: str) -> Path:
    (folder / RESULT).write_text(text)
    return folder / RESULT


@pytest.mark.parametrize("result", [WHOLE, {**WHOLE, "diverged": "NaN or Inf", "history": []}])
def test_a_result_is_read(tmp_path: Path, result: dict[str, Any]) -> None:
    put(tmp_path, as_text(result))
    assert read_result(tmp_path, JOB) == result


@pytest.mark.parametrize(
    "change",
    [
        {"job": None},
        {"job": {}},
        {"job": {**JOB, "epochs": "x"}},
        {"diverged": 3},
        {"history": None},
        {"history": 3},
        {"history": []},
        {"history": [EPOCH, EPOCH]},
        {"history": [{**EPOCH, "test_accuracy": "0.5"}]},
        {"history": [{}]},
    ],
)
def test_what_has_a_right_checksum_and_is_no_result_is_told(tmp_path: Path, capsys: Any, change: Any) -> None:
    path = put(tmp_path, as_text({**WHOLE, **change}))
    assert read_result(tmp_path, JOB) is None
    assert f"{path} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[" * 100_000, '{"sha256": ' + "9" * 5000 + "}", "3", "null", '{"history": []}'])
def test_what_json_can_be_is_told(tmp_path: Path, capsys: Any, text: str) -> None:
    path = put(tmp_path, text)
    assert read_result(tmp_path, JOB) is None
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_huge_file_is_not_read(tmp_path: Path, capsys: Any) -> None:
    with (tmp_path / RESULT).open("wb") as file:
        file.truncate(1 << 36)
    assert read_result(tmp_path, JOB) is None
    assert f"has {1 << 36} bytes, expected are at most {jobs.MOST_BYTES}" in capsys.readouterr().err


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULT).mkdir()
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        read_result(tmp_path, JOB)
