"""`sprint-lmeval adapters`: what it writes, the command that serves it, and what it refuses."""

import itertools
import json
import shlex
import subprocess

import pytest

from sprint_lmeval.adapters.maker import AdapterMaker
from sprint_lmeval.candidates import Candidate
from sprint_lmeval.cli import main
from sprint_lmeval.commands.adapters import serving


def test_the_command_writes_and_says_how_to_serve(tmp_path, capsys):
    folder = tmp_path / "a"
    assert main(["adapters", "tiny", "--candidates", "base:L1H2:L0H0+L2H7", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"2 adapters of rank 32 in {folder} (base needs none)\n")
    modules = " ".join(f"model.layers.{layer}.self_attn.o_proj" for layer in range(3))
    assert f"--max-lora-rank 32 --lora-target-modules {modules} --max-loras 2 --max-cpu-loras 2" in said
    assert f"--lora-modules L0H0+L2H7={folder}/L0H0+L2H7 L1H2={folder}/L1H2" in said
    assert sorted(path.name for path in folder.iterdir()) == ["L0H0+L2H7", "L1H2"]
    assert main(["adapters", "tiny", "--layers", "1-3", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"24 adapters of rank 32 in {folder}, 1 of them were there")
    assert f"VLLM_LORA_RESOLVER_CACHE_DIR={folder}" in said and "--lora-modules" not in said
    assert said.endswith(" --max-loras 8 --max-cpu-loras 24 --api-server-count 1\n")


def test_the_command_that_serves_is_one_for_a_shell(tmp_path, capsys):
    folder = tmp_path / "my adapters"
    assert main(["adapters", "tiny", "--candidates", "L1H2:L1H3+L1H4", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"2 adapters of rank 32, 64 in {folder}\n")
    words = shlex.split(said.splitlines()[-1])
    assert words[words.index("--max-lora-rank") + 1] == "64"
    assert words[-3:] == ["--lora-modules", f"L1H2={folder}/L1H2", f"L1H3+L1H4={folder}/L1H3+L1H4"]
    maker, heads = AdapterMaker("tiny"), [(layer, head) for layer in range(4) for head in range(8)]
    many = [Candidate(pair) for pair in itertools.combinations(heads, 2)]
    assert "--max-cpu-loras 256 " in serving(maker, many, folder, 64), "no more than are kept in memory"
    assert f"CACHE_DIR='{folder}' " in serving(maker, many, folder, 64)


def as_vllm_reads(item: str) -> tuple[str, str]:
    """What `LoRAParserAction` of vllm/entrypoints/launchers/cli_args.py (0.32) does with one of --lora-modules."""
    if "=" in item and "," not in item:
        name, path = item.split("=", 1)
        return name, path
    found = json.loads(item)
    return found["name"], found["path"]


@pytest.mark.parametrize(
    "name",
    ["a b", "a=b", "a,b", "a'b", 'a"b', "a\\b", "$HOME `id` *;&", "-a", "{a}", '{"name": "x"}', "π,=", "#", "a:b"],
)
def test_the_command_is_one_that_vllm_takes_for_any_name_of_a_folder(name, tmp_path, capsys):
    folder = tmp_path / name
    candidates = ["L1H2", "L1H3+L1H4"]
    assert main(["adapters", "tiny", "--candidates", ":".join(candidates), "-o", str(folder)]) == 0
    line = capsys.readouterr().out.split("serve them with vLLM:\n  ")[1]
    words = shlex.split(line)
    found = [as_vllm_reads(word) for word in words[words.index("--lora-modules") + 1 :]]
    assert found == [(candidate, str(folder / candidate)) for candidate in candidates]
    assert all((folder / candidate / "adapter_config.json").is_file() for candidate in candidates)
    echoed = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True).stdout
    assert echoed.split("\0")[:-1] == words


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[31mb", "a\x7f", "\udcff"])
def test_a_folder_that_cannot_be_printed_is_refused(name, tmp_path, capsys):
    assert main(["adapters", "tiny", "--candidates", "L1H2", "-o", str(tmp_path / name)]) == 2
    shown = capsys.readouterr().err
    assert "not all printable text: give another folder" in shown and shown.count("\n") == 1 and shown.isascii()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--candidates", "L1H2", "--layers", "1"], "--candidates and --layers given"),
        (["--candidates", "base"], "--candidates base given"),
        (["--candidates", "L1H2,L1H3"], "separated by colons"),
        (["--candidates", "L9H0"], "layer 9 given, the model has layers 0-3"),
        (["--layers", "4"], "--layers 4 given"),
        (["--candidates", "L1H2", "--rank", "48"], "--rank 48 given, vLLM takes 1, 8, 16, 32"),
        (["--candidates", "L1H2", "--rank", "16"], "rank 16 given, L1H2 needs at least 32"),
    ],
)
def test_the_command_refuses_in_one_sentence(options, said, tmp_path, capsys):
    assert main(["adapters", "tiny", *options, "-o", str(tmp_path / "a")]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.startswith("error: ") and shown.count("\n") == 1
    assert not (tmp_path / "a").exists()
