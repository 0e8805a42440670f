"""Lists of expected differences and reports are read as they are meant, and a wrong list is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.suite import Run, expected, results, unexplained

LISTS = sorted(Path(__file__).parent.glob("*.expected"))


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_every_listed_difference_has_a_reason(file: Path) -> None:
    known = expected(file)
    assert all(len(reason) > 5 for reason in known.reasons.values())


@pytest.mark.parametrize("line", ["never a::b # why", "always a::b", "always # why", "always a b # why"])
def test_a_line_that_says_too_little_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.expected").write_text(line)
    with pytest.raises(ValueError, match="x.expected:1"):
        expected(tmp_path / "x.expected")


def test_only_what_passes_directly_and_is_not_listed_counts(tmp_path: Path) -> None:
    (tmp_path / "x.expected").write_text("always t.py::a # by design\nsometimes t.py::b # timing\n\n# a comment\n")
    known = expected(tmp_path / "x.expected")
    direct = Run({"t.py::a": "passed", "t.py::b": "passed", "t.py::c": "failed", "t.py::d": "passed"}, "")
    through = Run(dict.fromkeys(direct.results, "failed"), "")
    assert unexplained(direct, through, known) == {"t.py::d"}


def test_a_report_is_read_by_pytests_names(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(
        '<testsuites><testsuite><testcase classname="tests.test_a.TestB" name="test_c"/>'
        '<testcase classname="tests.test_a.TestB" name="test_d"><failure/></testcase>'
        '<testcase classname="tests.test_a" name="test_e"><skipped/></testcase>'
        '<testcase classname="tests.sub.test_a" name="test_f[x.Test y]"><error/></testcase></testsuite></testsuites>'
    )
    assert results(tmp_path / "r.xml") == {
        "tests/test_a.py::TestB::test_c": "passed", "tests/test_a.py::TestB::test_d": "failed",
        "tests/test_a.py::test_e": "skipped", "tests/sub/test_a.py::test_f[x.Test y]": "failed",
    }  # fmt: skip
