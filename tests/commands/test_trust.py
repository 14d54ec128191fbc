"""Code that a model's folder brings along runs only where it is trusted, and nobody is asked whether it may."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sprint_lmeval.cli import main
from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.server import ServerPrunedBestOfN
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.scoring.likelihoods import BaseModel
from sprint_lmeval.scoring.rewards import RewardModel
from sprint_lmeval.selection.encoder import Encoder
from sprint_lmeval.tiny import MODEL_FOLDER

CLASSES = (
    ("AutoConfig", "Config"),
    ("AutoModelForCausalLM", "Model"),
    ("AutoModelForSequenceClassification", "Model"),
    ("AutoModel", "Model"),
)


@pytest.fixture
def ran(tmp_path):
    """A file that the folder's code writes as soon as it is imported."""
    return tmp_path / "ran"


@pytest.fixture
def folder(tmp_path, ran) -> Path:
    """The embedded model with code of its own for everything that transformers looks up in `auto_map`."""
    made = shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    code = f"""
        open({str(ran)!r}, "w").close()
        from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2TokenizerFast
        class Config(Qwen2Config): model_type = "own"
        class Model(Qwen2ForCausalLM): config_class = Config
        class Tokenizer(Qwen2TokenizerFast): pass
    """
    (made / "own.py").write_text("\n".join(line.removeprefix("        ") for line in code.splitlines()))
    (made / "custom_generate").mkdir()
    (made / "custom_generate" / "generate.py").write_text(f"open({str(ran)!r}, 'w').close()")
    edit(made / "config.json", model_type="own", auto_map={auto: f"own.{own}" for auto, own in CLASSES})
    return made


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(params=["everything", "model of a known kind", "tokenizer"])
def brought(request, folder) -> Path:
    if request.param != "everything":
        edit(folder / "config.json", model_type="qwen2")
    if request.param == "tokenizer":
        edit(folder / "config.json", auto_map={})
        edit(
            folder / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": [None, "own.Tokenizer"]}
        )
    return folder


WAYS = {
    "heads": lambda f: main(["heads", str(f)]),
    "adapters": lambda f: main(["adapters", str(f), "--candidates", "L1H2", "-o", str(f.parent / "adapters")]),
    "hf": lambda f: HFPrunedBestOfN(str(f), head_masks="L1H2"),
    "hf, None": lambda f: HFPrunedBestOfN(str(f), head_masks="L1H2", trust_remote_code=None),
    "hf, stored": lambda f: HFPrunedBestOfN(str(f), head_masks="L1H2", store=f.parent / "store").load_weights(),
    "hf, tokenizer": lambda f: HFPrunedBestOfN("tiny", head_masks="L1H2", tokenizer=str(f), trust_remote_code=None),
    "server": lambda f: ServerPrunedBestOfN(str(f), base_url="http://127.0.0.1:9", trust_remote_code=None),
    "sweep": lambda f: main(
        ["sweep", "--model_args", f"pretrained={f}", "--tasks", "x", "-o", str(f.parent / "m.parquet")]
    ),
    "score --with rpc": lambda f: BaseModel(f"pretrained={f}"),
    "score --with rpc, None": lambda f: BaseModel(f"pretrained={f},trust_remote_code=None"),
    "score --reward-model": lambda f: RewardModel(str(f)),
    "encoder": lambda f: as_encoder(f).encode(["a question"]),
}


def as_encoder(folder: Path) -> Encoder:
    modules = [{"idx": 0, "name": "0", "path": "", "type": "own.Model"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return Encoder("own", folder)


@pytest.mark.parametrize("way", WAYS)
def test_code_of_a_folder_does_not_run_and_nobody_is_asked(way, brought, ran, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    try:
        WAYS[way](brought)
    except InputError as error:
        assert "\n" not in str(error)
    assert not ran.exists()


def test_code_that_is_trusted_runs(folder, ran):
    assert main(["heads", str(folder), "--trust-remote-code"]) == 0
    assert ran.exists()


def test_the_sentence_says_how_to_trust_it(folder, capsys):
    assert main(["heads", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "brings code of its own" in said and "--trust-remote-code" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [["sprint_lmeval", "heads"], ["lm_eval", "--model", "hf-pruned-bon", "--tasks", "tiny_passn", "--model_args"]],
)
def test_a_yes_on_a_pipe_answers_nothing(command, folder, ran):
    given = f"pretrained={folder}" if command[-1] == "--model_args" else str(folder)
    done = subprocess.run(
        [sys.executable, "-m", *command, given], input="y\n" * 5, capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0 and "brings code of its own" in done.stderr and not ran.exists()


@pytest.mark.parametrize(
    "change", [{"auto_map": None}, {"auto_map": 3}, {"model_type": []}, {"num_attention_heads": "x"}]
)
def test_a_configuration_of_another_shape_is_one_sentence(change, folder, ran, capsys):
    edit(folder / "config.json", **{"model_type": "qwen2", "auto_map": {}} | change)
    assert main(["heads", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and not ran.exists()
