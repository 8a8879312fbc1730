"""The numbers by which the source cites the papers: each exists, and both versions of Universal AdderNets fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    [
        ROOT / "README.md",
        ROOT / "benchmarks/README.md",
        *(ROOT / "minadder").rglob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
)

EQUATIONS = {
    **{1: 1, 2: 2, 3: 21, 4: 22, 5: 23},  # the layer, ℓ1, gradients
    **{journal: journal + 6 for journal in range(18, 28)},  # ℓ2, ℓp, the power rule, variances, BN, learning rates
    **{journal: journal - 25 for journal in range(28, 35)},  # definitions, Theorem 1, Lemma 2
    **{35: 17, 36: 18, 37: 19, 38: 20},  # Lemma 4 and Theorem 5 of the journal
    **{journal: journal - 29 for journal in range(39, 46)},  # Theorem 6 of the journal
    **{46: 34, 47: 35, 48: 36},  # the toys
}
"""Equations of Universal AdderNets: the journal's number, and the preprint's."""
SECTIONS = {"3.2": "4.2", "4.4": "5.5", "5.3": "5.1"}
FIGURES = {"4": "2", "5": "3", "6": "4"}
"""Likewise those that are cited as a pair."""

NUMBERS = r"(\d+)(?:(?: to |, | and |–)(\d+))?"
PAIR = re.compile(rf"Eqs?\. {NUMBERS}(?:; preprint |, preprint | \(preprint ){NUMBERS}")
CVPR_LAST = {"Eq": 13, "Eqs": 13, "Table": 3, "Fig": 4}
CVPR_SECTIONS = {"3.3", "4", "4.1", "4.2", "4.3", "4.4", "4.5"}


def text(file: Path) -> str:
    """Return a file with every run of white space, and what joins strings in the source, as one space."""
    return re.sub(r'\s*"\s*\n\s*f?"|\s+', " ", file.read_text(encoding="utf-8"))


def found(pattern: str | re.Pattern[str]) -> list[tuple[str, ...]]:
    """Return the file and the groups of each place that fits."""
    return [(file.name, *match.groups()) for file in FILES for match in re.finditer(pattern, text(file))]


def test_the_journals_equations_are_the_preprints() -> None:
    pairs = found(PAIR)
    assert len(pairs) > 15
    for file, *numbers in pairs:
        journal, preprint = ([int(number) for number in part if number] for part in (numbers[:2], numbers[2:]))
        assert [EQUATIONS[number] for number in journal] == preprint, (file, numbers)


@pytest.mark.parametrize(("word", "pairs"), [(r"Secs?", SECTIONS), (r"Fig", FIGURES)])
def test_the_journals_sections_and_figures_are_the_preprints(word: str, pairs: dict[str, str]) -> None:
    places = found(rf"Universal AdderNets, {word}\. ([\d.]*\d)(?:; preprint | \(preprint )([\d.]*\d)")
    assert places
    for file, journal, preprint in places:
        assert pairs[journal] == preprint, (file, journal, preprint)


def test_no_equation_is_cited_that_does_not_exist() -> None:
    for file, number in found(r"Universal AdderNets, Eqs?\. (\d+)"):
        assert int(number) in EQUATIONS, file
    for file, word, number in found(r"Chen et al\. 2020, (Eqs?|Fig|Table)\.? (\d+)"):
        assert 1 <= int(number) <= CVPR_LAST[word], (file, number)
    for file, number in found(r"Chen et al\. 2020, Secs?\. ([\d.]*\d)"):
        assert number in CVPR_SECTIONS, (file, number)


def test_sections_are_cited_in_one_form() -> None:
    assert found(r"(et al\. \d{4}|AdderNets), section") == []


def test_the_equations_that_were_mixed_up_stand_in_the_readme() -> None:
    readme = text(ROOT / "README.md")
    assert "Eqs. 19 to 21 (preprint 25 to 27)" in readme
    assert "https://arxiv.org/abs/2105.14202" in readme
