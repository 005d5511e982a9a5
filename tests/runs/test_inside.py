"""Can a folder made by somebody else lead a reader out of it, or block it?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainer.errors import InkwellError
from trainer.runs.inside import check_inside, files_inside, open_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files on two levels, next to a secret."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("secret")
    root = tmp_path / "root"
    (root / "report" / "deep").mkdir(parents=True)
    (root / "own").write_text("own")
    (root / "report" / "deep" / "own").write_text("own")
    return root


def test_files_below_the_folder_are_read_also_if_the_folder_is_reached_by_a_link(root):
    root.with_name("link").symlink_to(root)
    for top in (root, root.with_name("link")):
        for name in ("own", Path("report/deep/own")):
            with open_inside(top, name) as file:
                assert file.read() == b"own"


@pytest.mark.parametrize("name", ["../secrets/key", "report/../../secrets/key", "", ".", "report", "a\0b"])
def test_a_name_that_leads_out_or_to_no_file_is_refused(root, name):
    with pytest.raises((OSError, ValueError)):
        open_inside(root, name)
    with pytest.raises(ValueError, match="is not the path of a file in"):
        open_inside(root, (root / "own").absolute())


def test_nothing_is_read_through_a_link_or_from_a_pipe(root):
    secrets = root.with_name("secrets")
    (root / "report" / "key").symlink_to(secrets / "key")
    (root / "report" / "folder").symlink_to(secrets)
    (root / "same").symlink_to("own")
    os.mkfifo(root / "pipe")
    for name in ("report/key", "report/folder/key", "same", "pipe"):
        with pytest.raises((OSError, ValueError)):
            open_inside(root, name)
    assert files_inside(root, "report") == [root / "report" / "deep" / "own"]
    (root / "linked").symlink_to(secrets)
    assert files_inside(root, "linked") == files_inside(root, "missing") == []


def test_a_folder_is_refused_for_its_first_link_out_of_it_or_pipe(root):
    check_inside(root, ("report",))
    (root / "report" / "copy").symlink_to("deep/own")
    (root / "circle").symlink_to("circle")
    check_inside(root, ("report",))
    (root / "venv").mkdir()
    (root / "venv" / "python").symlink_to("/usr/bin/python3")  # in a folder that is never read
    (root / "data").symlink_to(root.with_name("secrets"))  # another such folder
    check_inside(root, ("report",))
    with pytest.raises(InkwellError, match="data is a link that leads out of it"):
        check_inside(root, ("report", "data"))
    for place in (root, root / "report", root / "report" / "deep"):
        for target in (
            "/etc/passwd",
            root.with_name("secrets") / "key",
            root.with_name("gone"),
            "../../../secrets/key",
        ):
            (place / "link").symlink_to(target)
            with pytest.raises(InkwellError) as caught:
                check_inside(root, ("report",))
            (place / "link").unlink()
            assert str(caught.value) == (
                f"cannot read {root}: {(place / 'link').relative_to(root)} is a link that leads out of it; "
                "replace it with a copy of its target, or delete it"
            )
        os.mkfifo(place / "pipe")
        with pytest.raises(InkwellError, match="pipe is neither a file nor a folder; "):
            check_inside(root, ("report",))
        (place / "pipe").unlink()
