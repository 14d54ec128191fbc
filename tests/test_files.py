"""Files are written whole or not at all, and nothing is written through a link."""

import os

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import whole_file, write_whole


def test_a_link_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "dangling.json").symlink_to("nowhere.json")
    assert write_whole(tmp_path / "link.json", "{}\n") == write_whole(tmp_path / "dangling.json", "{}\n") == 3
    assert not (tmp_path / "link.json").is_symlink() and (tmp_path / "link.json").read_text() == "{}\n"
    assert (tmp_path / "real.json").read_text() == "old" and not (tmp_path / "nowhere.json").exists()


def test_a_device_is_written_to(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    assert write_whole(tmp_path / "null", "{}\n") == 3
    assert (tmp_path / "null").is_symlink() and (tmp_path / "null").is_char_device()


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a") as stream:
        stream.write(b"half")
        raise KeyError
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_folders_on_the_way_are_made_with_the_user_s_mode(tmp_path):
    write_whole(tmp_path / "b" / "c.txt", "\ud800é")
    assert (tmp_path / "b" / "c.txt").read_text("utf-8") == "\\ud800é"
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "b" / "c.txt").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("name", ["", "a/b.txt", "x" * 300])
def test_what_cannot_be_written_is_one_sentence(tmp_path, name):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / name, "{}")
