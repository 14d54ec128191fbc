"""Selector folders: saved and loaded whole, and everything that is not one refused in one sentence."""

import json
import os
import shutil

import numpy as np
import pytest
from huggingface_hub import HfApi
from safetensors.numpy import load_file, save_file

from sprint_lmeval.candidates import Candidate
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes.matrix import question_hash
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.selection.folder import digest
from sprint_lmeval.selection.selector import Selector, find_selector, shipped_folder
from tests.shared.selector_examples import RANKING, KindEncoder, make_selector, questions


@pytest.fixture(scope="module", params=RANKING)
def made(request) -> Selector:
    return make_selector(request.param)


@pytest.fixture
def folder(tmp_path):
    make_selector("sprint").save_pretrained(tmp_path / "selector")
    return tmp_path / "selector"


def test_a_loaded_selector_ranks_as_the_saved_one(made, tmp_path):
    made.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = Selector.from_pretrained(tmp_path / "new" / "folder", encoder=KindEncoder())
    asked = questions(9, first=500)
    assert loaded.scored(asked, 4) == made.scored(asked, 4)
    assert loaded.config["method"] == made.method.name
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["folder"]  # nothing temporary is left


def test_ranks_are_candidates_best_first(made):
    scored = made.scored(questions(5))
    ranked = [[candidate for candidate, _ in row] for row in scored]
    assert all(sorted(row) == sorted(made.candidates) for row in ranked)
    assert made.rank(questions(5), 2) == [row[:2] for row in ranked]
    assert {type(score) for row in scored for _, score in row} == {float} and np.shape(ranked) == (5, 6)
    assert made.rank([], 2) == []


def test_a_selector_that_reads_the_question_picks_its_kind():
    pens, train, _ = make_selector("sprint").rank([questions(3)[0], questions(3)[2], questions(1)[0]], 1)
    assert pens[0] in (Candidate(((0, 0),)), Candidate(((0, 1),))) and train == [Candidate(((0, 2),))]


def test_many_questions_are_ranked_in_parts(monkeypatch):
    selector = make_selector("logistic")
    whole = selector.scored(questions(10), 3)
    monkeypatch.setattr("sprint_lmeval.selection.selector.AT_ONCE", 3)
    parts = selector.scored(questions(10), 3)
    for part, row in zip(parts, whole, strict=True):
        assert [c for c, _ in part] == [c for c, _ in row]
        assert [score for _, score in part] == pytest.approx([score for _, score in row])


@pytest.mark.parametrize("n", [0, 7, -1])
def test_more_candidates_than_there_are_is_a_mistake(n):
    with pytest.raises(InputError, match="the selector ranks 6"):
        make_selector("top").rank(questions(1), n)


def test_it_knows_the_questions_it_was_trained_on():
    selector = make_selector("top")
    hashes = [question_hash(text) for text in [questions(1)[0], "  ".join(questions(2)[1].split()), "Another one?"]]
    assert selector.trained_on(hashes).tolist() == [True, True, False]


def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()
    for said in ("# sprint: ", "Trained on", "| questions | 60 of tiny_train_passn", "| Pass@1 | Pass@2 | Pass@4 |"):
        assert said in card, said
    assert "| radius | 3.0 |" in card and card.startswith("---\nlibrary_name: sprint-lmeval")


# ---- saving ----


def test_nothing_is_written_over_a_folder_that_is_something_else(tmp_path):
    selector = make_selector("top")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "config.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("thesis", "file", "link"):
        for overwrite in (False, True):
            with pytest.raises(InputError, match="not a selector folder"):
                selector.save_pretrained(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "thesis" / "config.json").read_text() == (tmp_path / "file").read_text() == "mine"


def test_a_selector_is_replaced_only_when_told(folder):
    with pytest.raises(InputError, match=r"is a selector already: .*--overwrite"):
        make_selector("top").save_pretrained(folder)
    assert Selector.from_pretrained(folder).method.name == "sprint"
    make_selector("top").save_pretrained(folder, overwrite=True)
    assert Selector.from_pretrained(folder).method.name == "top"
    assert [p.name for p in folder.parent.iterdir()] == ["selector"]


def test_the_same_selector_is_there_already(folder):
    before = (folder / "config.json").stat()
    make_selector("sprint").save_pretrained(folder)  # a command that is run again after a kill
    assert (folder / "config.json").stat() == before


def test_a_link_is_replaced_and_what_it_leads_to_stays(folder):
    link = folder.parent / "link"
    link.symlink_to(folder)
    with pytest.raises(InputError, match="is a selector already"):
        make_selector("top").save_pretrained(link)
    make_selector("top").save_pretrained(link, overwrite=True)
    assert not link.is_symlink()
    assert [Selector.from_pretrained(path).method.name for path in (folder, link)] == ["sprint", "top"]


def test_a_person_can_read_what_it_is():
    said = "Selector(top, 6 candidates of tiny, trained on 60 questions of tiny_train_passn)"
    assert repr(make_selector("top")) == said


def test_an_empty_folder_is_filled(tmp_path):
    make_selector("top").save_pretrained(tmp_path)
    assert Selector.from_pretrained(tmp_path).method.name == "top"


def test_a_save_that_fails_leaves_what_was_there(folder, monkeypatch):
    before = (folder / "config.json").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match=r"could not be written .No space"):
        make_selector("top").save_pretrained(folder, overwrite=True)
    assert (folder / "config.json").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["selector"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model", {"heads_per_layer": "8"}, "could not be read again: heads_per_layer"),
        ("model", {"name": 5}, "could not be read again: the model's name"),
        ("training", {"altered": 5}, "could not be read again: altered"),
        ("validation", {"pass@1": float("nan")}, "was not written: .*JSON"),
    ],
)
def test_a_folder_that_could_not_be_read_again_is_not_written(tmp_path, key, value, said):
    selector = make_selector("top")
    selector.config[key] = {**selector.config[key], **value}
    with pytest.raises(InputError, match=said) as caught:
        selector.save_pretrained(tmp_path / "s")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_pushing_uploads_the_three_files(monkeypatch):
    pushed = {}

    class Repository:
        repo_id = "me/heads"

    def upload(self, *, folder_path, **_):
        pushed.update({p.name: p.stat().st_size for p in folder_path.iterdir()})
        return "url"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, **_: Repository)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert make_selector("cover").push_to_hub("me/heads") == "url"
    assert sorted(pushed) == ["README.md", "config.json", "model.safetensors"] and all(pushed.values())


# ---- loading ----


def resigned(folder, config: dict | None = None, **tensors) -> None:
    """Write changed parts with a checksum that fits, as somebody who knows the format would."""
    changed = {**json.loads((folder / "config.json").read_text()), **(config or {})}
    kept = {**load_file(folder / "model.safetensors"), **tensors}
    kept = {name: array for name, array in kept.items() if array is not None}
    save_file(kept, folder / "model.safetensors")
    changed = {key: value for key, value in changed.items() if value != "gone"}
    (folder / "config.json").write_text(json.dumps({**changed, "sha256": digest(changed, kept)}))


def refused(folder, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Selector.from_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"method": "best"}, "method 'best' given, allowed are sprint"),
        ({"method": "gone"}, "lacks 'method'"),
        ({"method": 3}, "'method' .* of the wrong kind"),
        ({"format": 2}, "format 2 given, this version reads 1"),
        ({"format": True}, "'format' .* of the wrong kind"),
        ({"candidates": []}, "0 candidates"),
        ({"candidates": ["L0H0", "L0H0"]}, "stands twice"),
        ({"candidates": ["L0H0", "heads"]}, "cannot read the candidate 'heads'"),
        ({"candidates": ["L0H0", 5]}, "a candidate is text"),
        ({"candidates": ["L0H0", "L0H1"]}, "'heads' is float32 .* must be"),
        ({"model": {"heads_per_layer": [8, "8"]}}, "heads_per_layer"),
        ({"model": {"fingerprint": 5}}, "fingerprint"),
        ({"setting": {}}, "setting .* is not one of method sprint"),
        ({"encoder": None}, "needs an encoder"),
        ({"encoder": {"name": "x"}}, "lacks a name, a fingerprint or a dimension"),
        ({"encoder": {"name": "x", "fingerprint": "y", "dim": 5}}, "'weight' is float32 .* must be"),
        ({"encoder": {"name": "x", "fingerprint": "y", "dim": -4}}, "lacks a name, a fingerprint or a dimension"),
        ({"validation": "gone"}, "lacks 'validation'"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(folder, config, said):
    resigned(folder, config)
    refused(folder, said)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("heads", None, "lacks tensor 'heads'"),
        ("question_hashes", None, "lacks tensor 'question_hashes'"),
        ("more", np.zeros(3, np.float32), "has a tensor 'more' that is not its method's"),
        ("heads", np.zeros((5, 8), np.float32), "'heads' is float32 .* must be"),
        ("heads", np.zeros((6, 7), np.float32), "'heads' is float32 .* must be"),
        ("heads", np.zeros((6, 8), np.float16), "'heads' is float16"),
        ("heads", np.zeros(6, np.float32), "'heads' is float32"),
        ("heads", np.zeros((6, 8), np.float64), "of kind F64, allowed are"),
        ("bias", np.full(8, np.nan, np.float32), "'bias' has values that are not finite"),
        ("weight", np.full((8, 4), np.inf, np.float32), "'weight' has values that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, name, array, said):
    resigned(folder, **{name: array})
    refused(folder, said)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 6], [-1, 0, 1, 2, 3, 4]])
def test_an_order_must_name_each_candidate_once(tmp_path, order):
    make_selector("top").save_pretrained(tmp_path / "s")
    resigned(tmp_path / "s", order=np.array(order))
    refused(tmp_path / "s", "does not name each of the 6 candidates once")


def test_outcomes_are_zeros_and_ones(tmp_path):
    make_selector("nearest").save_pretrained(tmp_path / "s")
    resigned(tmp_path / "s", outcomes=np.full((60, 6), 2, np.uint8))
    refused(tmp_path / "s", "values above 1")


def test_a_hand_edited_configuration_is_told_by_its_checksum(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"questions": 60', '"questions": 90'))
    refused(folder, "was changed after it had been written")


def test_swapped_weights_are_told_by_the_checksum(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "bias": tensors["bias"] + 1}, folder / "model.safetensors")
    refused(folder, "was changed after it had been written")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("pytorch_model.bin", b"\x80\x04", r"holds pytorch_model\.bin, a kind of file that may run code"),
        ("weights.pkl", b"\x80\x04", r"holds weights\.pkl"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"[]", "must hold an object"),
        ("config.json", b'{"format": NaN}', "is not JSON .*NaN"),
        ("config.json", b"[" * 100_000, "is not JSON .*nested too deeply"),
        ("config.json", b'{"format": ' + b"9" * 400 + b"}", "'format' in config.json is 'inf'"),
        ("config.json", b"\xff\xfe", "is not JSON"),
        ("config.json", None, r"has no config\.json"),
        ("model.safetensors", None, r"has no model\.safetensors"),
        ("model.safetensors", b"\x80\x04 a pickle", "damaged or no safetensors file"),
        ("model.safetensors", b"", "damaged or no safetensors file"),
        ("model.safetensors", (99 << 20).to_bytes(8, "little") + b" " * 99, "a header of 103,809,024 bytes, at most"),
    ],
)
def test_foreign_files_are_refused(folder, file, content, said):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    refused(folder, said)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, f"has no {name}")


@pytest.mark.parametrize("value", ["NaN", "1e999", "[" * 900 + "]" * 900])
def test_values_that_no_selector_has_are_refused(folder, value):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"validation": {', f'"validation": {{"more": {value},', 1))
    refused(folder, r"is not JSON .*NaN|holds what no selector has|nested too deeply")


def test_a_pickle_in_a_folder_below_is_refused(folder):
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "sub" / "notes.txt").write_text("notes")
    assert Selector.from_pretrained(folder).method.name == "sprint"
    (folder / "sub" / "deeper" / "a.PKL").write_bytes(b"\x80\x04")
    refused(folder, r"holds sub/deeper/a\.PKL, a kind of file that may run code")


def test_a_folder_of_very_many_files_is_refused(folder, monkeypatch):
    monkeypatch.setattr("sprint_lmeval.selection.folder.MAX_ENTRIES", 3)
    assert Selector.from_pretrained(folder)
    (folder / "more.txt").write_text("more")
    refused(folder, "holds more than 3 files")


def test_a_file_that_was_cut_short_is_refused(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-8])
    refused(folder, "damaged or no safetensors file")


@pytest.mark.parametrize("limit", ["MAX_CONFIG_BYTES", "MAX_WEIGHTS_BYTES"])
def test_files_that_are_too_large_are_not_read(folder, monkeypatch, limit):
    monkeypatch.setattr(f"sprint_lmeval.selection.folder.{limit}", 100)
    refused(folder, "bytes, at most 100 are read")


def test_a_foreign_encoder_is_refused(folder):
    selector = Selector.from_pretrained(folder)  # its encoder is not that of the package
    with pytest.raises(InputError, match=r"trained with the encoder .*000.*give the folder of its own encoder"):
        selector.rank(questions(1), 1)
    with pytest.raises(InputError, match="trained with the encoder"):
        Selector.from_pretrained(folder, encoder=Encoder.find())


def test_names_that_are_no_selector_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("nothing", str(tmp_path / "nowhere"), "./nowhere", "~nobody/x", "", "a/b/c"):
        with pytest.raises(InputError, match="neither a folder nor one of"):
            find_selector(name)
    refused(tmp_path, r"has no config\.json, so it is not a selector")


def test_a_hub_id_that_cannot_be_fetched(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("no way\nout")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(InputError, match=r"selector=me/heads could not be fetched .no way out"):
        Selector.from_pretrained("me/heads")


def test_from_the_hub_only_the_three_files_are_fetched(folder, monkeypatch):
    seen = {}

    def download(name, **options):
        seen.update(options, name=name)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert Selector.from_pretrained("me/heads", revision="v1").method.name == "sprint"
    assert seen["name"] == "me/heads" and seen["revision"] == "v1"
    assert sorted(seen["allow_patterns"]) == ["README.md", "config.json", "model.safetensors"]


def test_a_short_name_is_that_of_a_shipped_folder(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "shipped" / "kinds")
    monkeypatch.setattr("sprint_lmeval.selection.selector.shipped_folder", lambda: tmp_path / "shipped")
    assert find_selector("kinds") == tmp_path / "shipped" / "kinds"
    with pytest.raises(InputError, match="neither a folder nor one of kinds"):
        find_selector("kind")


def test_shipped_selectors_can_all_be_loaded():
    for config in shipped_folder().glob("*/config.json"):
        assert Selector.from_pretrained(config.parent).candidates
