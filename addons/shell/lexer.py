"""
A POSIX shell command line to its simple commands (POSIX.1-2017, XCU 2.2, 2.3, 2.10).

Quotes are removed and separators understood; nothing is expanded. A word whose value only
the shell knows is opaque, and so is a line that uses what is not understood here
(here-documents, functions, compound commands): the reader of the result must refuse it, not guess. Readers that
only look for something may have compound commands taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BLANK = " \t"
OPERATORS = ("&&", "||", ";;", ";", "|&", "|", "&", "\n", "(", ")")
REDIRECTIONS = ("<<<", "<<-", "<<", "<>", "<&", ">>", ">&", ">|", "<", ">")
RESERVED = frozenset("if then else elif fi for while until do done case esac in { } ! [[ function select time coproc".split())
EXPANDS = frozenset("*?[~{")
"""Unquoted, each makes the shell put other words in this one's place."""


class Opaque(Exception):
    """What this line does cannot be known. Its text never quotes the line."""


@dataclass(slots=True)
class Word:
    """:ivar opaque: its value depends on an expansion; `text` is then only part of the truth."""

    text: str = ""
    opaque: bool = False
    quoted: bool = False


@dataclass(slots=True)
class Simple:
    """One simple command: assignments, words and redirections, in order."""

    words: list[Word] = field(default_factory=list)
    assignments: list[Word] = field(default_factory=list)
    redirections: list[tuple[str, Word]] = field(default_factory=list)

    @property
    def opaque(self) -> bool:
        """Whether any part of it is known to the shell alone. An assignment may change what a word runs."""
        parts = [*self.words, *self.assignments, *(word for _, word in self.redirections)]
        return bool(self.assignments) or any(word.opaque for word in parts)

    @property
    def empty(self) -> bool:
        return not (self.words or self.assignments or self.redirections)


def split(line: str, *, compound: bool = False) -> list[Simple]:
    """
    Every simple command of the line, those in subshells and command substitutions too.

    :param compound: also those of loops, conditions and groups, and arithmetic is a word; whether and how often each runs is
        not known then, and heads of loops and patterns of `case` may be among them.
    :raises Opaque: for what is not understood.
    """
    if "\0" in line:
        raise Opaque("a NUL in the line")
    return _Lexer(line, compound).commands("")


class _Lexer:
    def __init__(self, line: str, compound: bool) -> None:
        self._line, self._at, self._compound = line, 0, compound
        self._cases = 0  # that are open in the present parenthesis
        self._found: list[Simple] = []
        self._depth = 0

    def commands(self, end: str) -> list[Simple]:
        """Read up to `end`, ")" of a subshell or "" for the whole line."""
        self._depth += 1
        if self._depth > 50:
            raise Opaque("nested too deeply")
        current, closed = Simple(), not end
        cases, self._cases = self._cases, 0
        while self._at < len(self._line):
            self._blanks()
            operator = self._starts(OPERATORS)
            if operator:
                if operator == ")" and self._cases:
                    current = Simple()  # what came was a pattern
                    continue
                current = self._finish(current, operator)
                if operator == ")":
                    if not end:
                        raise Opaque("a parenthesis closes nothing")
                    closed = True
                    break
            elif self._at < len(self._line):
                self._part(current)
        if not closed:
            raise Opaque("a parenthesis is not closed")
        self._finish(current, ";")
        self._depth, self._cases = self._depth - 1, cases
        return self._found

    def _finish(self, current: Simple, operator: str) -> Simple:
        if operator == "(":
            if not current.empty:
                raise Opaque("a function, or a parenthesis in a command")
            self.commands(")")
        elif operator == ";;" and not self._cases:
            raise Opaque("part of a case")
        elif not current.empty:
            self._found.append(current)
            return Simple()
        return current

    def _starts(self, tokens: tuple[str, ...]) -> str:
        """Step over the first of these that is next; "" for none."""
        for token in tokens:
            if self._line.startswith(token, self._at):
                self._at += len(token)
                return token
        return ""

    def _blanks(self) -> None:
        while self._at < len(self._line):
            if self._line[self._at] in BLANK:
                self._at += 1
            elif self._line.startswith("\\\n", self._at):
                self._at += 2
            else:
                break
        if self._line.startswith("#", self._at):
            end = self._line.find("\n", self._at)
            self._at = len(self._line) if end < 0 else end

    def _part(self, current: Simple) -> None:
        if self._line.startswith(("<(", ">("), self._at):
            raise Opaque("process substitution")
        operator = self._starts(REDIRECTIONS)
        if operator:
            return self._redirection(current, operator)
        word = self._word()
        if self._line[self._at:self._at + 1] in ("<", ">") and word.text.isdigit() and not word.quoted:
            return self._redirection(current, word.text + self._starts(REDIRECTIONS))
        if not current.words and not word.quoted and word.text in RESERVED:
            return self._reserved(current, word)
        if word.text == "do" and current.words and not word.quoted and current.words[0].text in ("for", "select") and self._compound:
            current.words.clear()
            return
        name, equals, _ = word.text.partition("=")
        if not current.words and equals and name.rstrip("+").isidentifier():
            current.assignments.append(word)
        else:
            current.words.append(word)

    def _reserved(self, current: Simple, word: Word) -> None:
        """Step over it, where compound commands are taken apart."""
        if not self._compound or word.text in ("function", "[["):
            raise Opaque("a compound command")
        if word.text in ("for", "select"):
            current.words.append(word)
        elif word.text == "case":
            self._cases += 1
            self._blanks()
            self._word()
        elif word.text == "esac":
            self._cases -= self._cases > 0

    def _redirection(self, current: Simple, operator: str) -> None:
        if "<<" in operator or self._line.startswith("(", self._at):
            raise Opaque("a here-document or process substitution")
        self._blanks()
        word = self._word()
        if not word.text and not word.quoted and not word.opaque:
            raise Opaque("a redirection to nothing")
        current.redirections.append((operator, word))

    def _word(self) -> Word:
        word = Word()
        while self._at < len(self._line):
            char = self._line[self._at]
            if char in " \t\n;|&()<>":
                break
            self._at += 1
            if char == "'":
                self._literal(word)
            elif char == '"':
                self._double(word)
            elif char == "\\":
                self._escaped(word)
            elif char in "$`":
                self._expansion(word, char)
            else:
                word.opaque = word.opaque or char in EXPANDS
                word.text += char
        return word

    def _literal(self, word: Word) -> None:
        end = self._line.find("'", self._at)
        if end < 0:
            raise Opaque("a quote is not closed")
        word.text += self._line[self._at:end]
        word.quoted, self._at = True, end + 1

    def _escaped(self, word: Word) -> None:
        if self._at >= len(self._line):
            raise Opaque("nothing follows a backslash")
        char = self._line[self._at]
        self._at += 1
        if char != "\n":
            word.text, word.quoted = word.text + char, True

    def _double(self, word: Word) -> None:
        word.quoted = True
        while self._at < len(self._line):
            char = self._line[self._at]
            self._at += 1
            if char == '"':
                return
            if char == "\\" and self._line[self._at:self._at + 1] in tuple('$`"\\\n'):
                self._escaped(word)
            elif char in "$`":
                self._expansion(word, char)
            else:
                word.text += char
        raise Opaque("a quote is not closed")

    def _expansion(self, word: Word, char: str) -> None:
        """Its value is unknown; the commands of $( ) are read, and backquotes and ${ } refuse the line."""
        word.opaque = True
        if self._compound and char == "$" and self._line.startswith("((", self._at):
            return self._arithmetic(word)
        if char == "`" or self._line.startswith(("{", "((", "'", '"', "["), self._at):
            raise Opaque("an expansion that is not read here")
        if self._line.startswith("(", self._at):
            self._at += 1
            self.commands(")")
        word.text += char

    def _arithmetic(self, word: Word) -> None:
        """Up to the two parentheses that close it; what starts commands in it is not read."""
        start, depth = self._at, 0
        while self._at < len(self._line):
            char = self._line[self._at]
            depth += (char == "(") - (char == ")")
            if char in "`'\"\\" or self._line.startswith("$(", self._at):
                break
            if depth == 1 and char == ")":
                if not self._line.startswith("))", self._at):
                    break
                self._at += 2
                word.text += "$" + self._line[start:self._at]
                return
            self._at += 1
        raise Opaque("arithmetic that is not read here")
