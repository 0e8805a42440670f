"""The shell lexer: against a table, against shlex for quoting, and what it must refuse."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, strategies as st

from addons.shell.lexer import Opaque, split


def words(line: str) -> list[list[str]]:
    return [[word.text for word in simple.words] for simple in split(line)]


@pytest.mark.parametrize("line, expected", [
    ("echo rm -rf v >/dev/null", [["echo", "rm", "-rf", "v"]]),
    ("a;b&&c||d|e&f\ng", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
    ("r''m \"-r\"f x\\ y", [["rm", "-rf", "x y"]]),
    ("(cd /x; ls) && id", [["cd", "/x"], ["ls"], ["id"]]),
    ("echo 'a;b' \"c|d\" e\\;f", [["echo", "a;b", "c|d", "e;f"]]),
    ("ls # rm x\nid", [["ls"], ["id"]]),
    ("r\\\nm x", [["rm", "x"]]),
    ("a#b", [["a#b"]]),
    ("make 2>&1", [["make"]]),
    ("", []),
])
def test_simple_commands(line: str, expected: list[list[str]]) -> None:
    assert words(line) == expected


def test_commands_inside_a_substitution_are_found() -> None:
    assert ["rm", "x"] in words('echo "a $(rm x) b"')
    assert ["rm", "x"] in words("echo $(echo $(rm x))")


@pytest.mark.parametrize("line", ["$x -rf", "rm *", "x=rm y", "r[m] x", "~/run", "echo $(id)", "{rm,x}", 'echo "$x"'])
def test_what_only_the_shell_knows_is_opaque(line: str) -> None:
    assert any(simple.opaque for simple in split(line))


@pytest.mark.parametrize("line", [
    "echo 'a", 'echo "a', "echo \\", "(ls", "ls)", "cat <<E\nrm\nE", "if true; then rm x; fi", "f() { rm x; }", "echo `id`",
    "echo ${x:-$(id)}", "cat <(id)", "ls >", "a\0b", "echo $'\\x72m'", "for i in a; do rm $i; done", "! rm x", "(" * 60,
    "{ rm x; }", "case a in b) rm x;; esac", "cat <<<x",
])
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(Opaque):
        split(line)


def test_redirections_are_kept_with_their_targets() -> None:
    found = split("cat <in 2>>err >'out file'")[0].redirections
    assert [(operator, word.text) for operator, word in found] == [("<", "in"), ("2>>", "err"), (">", "out file")]


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1, max_size=5))
def test_quoted_words_come_back(parts: list[str]) -> None:
    assert words("x " + shlex.join(parts)) == [["x", *parts]]


@given(st.text("ab '\"\\$()|&;<>\n#`{}=*"))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        split(line)
    except Opaque:
        pass


@given(st.lists(st.sampled_from("if then fi for i in case esac do done { } ( ) ;; ; | $(( )) $( ` a\n > ! [[".split(" "))).map(" ".join))
def test_any_compound_line_is_taken_apart_or_refused(line: str) -> None:
    try:
        split(line, compound=True)
    except Opaque:
        pass
