"""The remote halves of scp, rsync, git and sftp are recognised with their paths; nothing else is."""

from __future__ import annotations

import pytest

from addons.shell.known import NOTHING, Known, Transfer, known
from addons.shell.lexer import split


@pytest.mark.parametrize("line, expected", [
    ("scp -t /tmp/x", Known(Transfer.SCP_IN, ("/tmp/x",))),
    ("scp -v -r -p -d -t -- '-odd name'", Known(Transfer.SCP_IN, ("-odd name",))),
    ("/usr/bin/scp -f a b", Known(Transfer.SCP_OUT, ("a", "b"))),
    ("scp a b", NOTHING),
    ("scp -t -f x", NOTHING),
    ("rsync --server --sender -vlogDtpre.iLsfxCIvu . /src/", Known(Transfer.RSYNC_OUT, ("/src/",))),
    ("rsync --server -logDtpre.iLsfxCIvu --delete . dst", Known(Transfer.RSYNC_IN, ("dst",))),
    ("rsync -a x y", NOTHING),
    ("git-upload-pack 'team/repo.git'", Known(Transfer.GIT_OUT, ("team/repo.git",))),
    ("git-receive-pack '/srv/r.git'", Known(Transfer.GIT_IN, ("/srv/r.git",))),
    ("/usr/lib/openssh/sftp-server", Known(Transfer.SFTP)),
    ("bash", Known(Transfer.SCRIPT)),
    ("bash -s a", Known(Transfer.SCRIPT)),
    ("/usr/bin/python3 -", Known(Transfer.SCRIPT)),
    ("python3 deploy.py", NOTHING),
    ("scp -t $x", NOTHING),
    ("PATH=/tmp scp -t x", NOTHING),
    ("echo scp -t x", NOTHING),
])
def test_what_a_command_transfers(line: str, expected: Known) -> None:
    assert known(split(line)[0]) == expected
