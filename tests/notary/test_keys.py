"""Key files: made once, private, apart from the store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.notary import keys


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first, second = keys.create(tmp_path, "log"), keys.create(tmp_path, "log")
    assert first.body == second.body and first.identity.public == second.identity.public
    assert keys.load_public(tmp_path).public == first.identity.public
    assert keys.load_body(tmp_path) == first.body


def test_key_files_are_private_and_checked_to_be(tmp_path: Path) -> None:
    keys.create(tmp_path, "log")
    for name in (keys.IDENTITY, keys.BODY):
        path = tmp_path / keys.FOLDER / name
        assert path.stat().st_mode & 0o777 == 0o600
        os.chmod(path, 0o640)
        with pytest.raises(keys.KeyFileError, match="chmod 600"):
            keys.load(tmp_path, "log")
        os.chmod(path, 0o600)


def test_a_missing_or_malformed_key_says_which(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="identity.pem"):
        keys.load(tmp_path, "log")
    with pytest.raises(keys.KeyFileError, match="audit.pub"):
        keys.load_public(tmp_path)
    keys.create(tmp_path, "log")
    (tmp_path / keys.FOLDER / keys.BODY).write_text("not hex\n")
    with pytest.raises(keys.KeyFileError, match="body.key"):
        keys.load(tmp_path, "log")
