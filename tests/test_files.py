"""Only regular files within limits are read; files are written whole or not at all, and never through a link."""

import os

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.files import open_regular, read_bounded, read_json, whole_file, write_whole


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_bounded(tmp_path / "file", 3, "letters") == read_bounded(tmp_path / "link", 9, "letters") == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to("pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "to-pipe", "/dev/zero"):
        with pytest.raises(InputError, match="is no regular file"), open_regular(path):
            pass
    for path in (tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be read"), open_regular(path):
            pass


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match=r"large has 1,099,511,627,776 bytes, letters of at most 3 are read"):
        read_bounded(tmp_path / "large", 3, "letters")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 101 + "]" * 101, "nested too deeply"),
        ('{"a":' * 500 + "0" + "}" * 500, "nested too deeply"),
        ("[1,", "Expecting value"),
        ("\xff", "utf-8"),
        ("", "Expecting value"),
    ],
)
def test_what_json_cannot_be_used_is_one_sentence(tmp_path, text, reason):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=rf"a.json is not JSON \(.*{reason}.*\): it is damaged") as caught:
        read_json(tmp_path / "a.json", 1 << 20, "texts")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zeros", [320, 400, 5000])
def test_whole_numbers_that_no_float_holds_are_infinite(tmp_path, zeros):
    """Python stops at 4,300 digits, and at 309 where a float is wanted."""
    (tmp_path / "a.json").write_text(f"[1{'0' * zeros}, -1{'0' * zeros}]")
    assert read_json(tmp_path / "a.json", 99_999, "numbers") == [float("inf"), float("-inf")]


def test_standard_json_has_no_constants(tmp_path):
    (tmp_path / "a.json").write_text('{"a": NaN}')
    assert read_json(tmp_path / "a.json", 99, "texts")["a"] != 0
    with pytest.raises(InputError, match=r"is not JSON \(NaN is no JSON number\)"):
        read_json(tmp_path / "a.json", 99, "texts", standard=True)


def test_json_keeps_what_floats_can_hold(tmp_path):
    (tmp_path / "a.json").write_text('[1e999, 123456789012345678901, NaN, "\\ud800", ' + "[" * 99 + "]" * 100)
    large, whole, nan, half, _ = read_json(tmp_path / "a.json", 999, "texts")
    assert large == float("inf") and whole == 123456789012345678901 and nan != nan and half == "\ud800"


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
