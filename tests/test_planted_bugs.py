"""Every planted bug is caught; the script itself tells a missed one from a caught one."""

from __future__ import annotations

import planted_bugs
import pytest
from planted_bugs import BUGS, ROOT, Bug


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_the_tests_catch_it(name: str) -> None:
    assert planted_bugs.main([name]) == 0


@pytest.mark.parametrize("name", BUGS)
def test_the_source_to_change_occurs_once(name: str) -> None:
    bug = BUGS[name]
    assert (ROOT / "minadder" / bug.file).read_text(encoding="utf-8").count(bug.right) == 1
    assert bug.right != bug.wrong


@pytest.mark.slow
def test_a_change_that_is_no_bug_is_reported_as_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = Bug(
        "ops/binary.py", "+1 or −1 by sign", "By sign, +1 or −1", ("tests/test_ops_registry.py", "-k", "binarize")
    )
    monkeypatch.setitem(BUGS, "harmless", harmless)
    assert planted_bugs.main(["harmless"]) == 1
    assert "MISSED" in capsys.readouterr().out


@pytest.mark.slow
def test_tests_that_fail_without_a_bug_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Bug("ops/binary.py", "+1 or −1 by sign", "", ("tests/test_that_is_not_there.py",))
    monkeypatch.setitem(BUGS, "absent", absent)
    with pytest.raises(RuntimeError, match="fails without any bug planted"):
        planted_bugs.main(["absent"])


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        planted_bugs.main(["no such bug"])
    assert "no bug is named 'no such bug'" in capsys.readouterr().err
