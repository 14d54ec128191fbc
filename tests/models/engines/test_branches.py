"""`strategy=branch` on a server: the branches that the model itself gives, for a token and its log-probabilities."""

import pytest
import torch

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.server import ServerPrunedBestOfN
from tests.shared.harness_requests import count_rows, model, requests
from tests.shared.stub_server import completion, stub_servers

BASE = {"id": "tiny", "root": "tiny", "parent": None, "max_model_len": 512}
SETTINGS = {"max_gen_toks": 24}


class ModelServer:
    """Answers greedily with the embedded model, as vLLM's server does; `gives`: whether with log-probabilities."""

    def __init__(self, lm, gives: bool = True) -> None:
        self.lm, self.gives = lm, gives

    def __call__(self, path: str, payload: dict) -> tuple[int, object]:
        if path.endswith("/models"):
            return 200, {"data": [BASE]}
        return completion(**self.answer(payload)) if path.endswith("/completions") else (404, {"message": path})

    def answer(self, payload: dict) -> dict:
        new, own, best, reason = [], [], [], None
        while len(new) < payload["max_tokens"] and reason is None:
            with torch.no_grad():
                scores = self.lm.model(torch.tensor([payload["prompt"] + new])).logits[0, -1].log_softmax(-1)
            values, tokens = scores.topk(payload.get("logprobs") or 1)
            best.append({f"token_id:{t}": v for t, v in zip(tokens.tolist(), values.tolist(), strict=True)})
            own.append(values[0].item())
            new.append(tokens[0].item())
            text = self.lm.tokenizer.decode(new)
            ended = new[-1] if new[-1] in payload.get("stop_token_ids", []) else None
            reason = next((stop for stop in payload.get("stop", []) if stop in text), ended)
        given = {"logprobs": {"token_logprobs": own, "top_logprobs": best}} if self.gives else {}
        return {"token_ids": new, "stop_reason": reason, **given}


@pytest.mark.parametrize("levels", [1, "all"])
def test_a_server_gives_the_branches_of_the_model(levels, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lm = model(strategy="branch", levels=levels)
    expected = [str(r) for r in lm.generate_until(requests(4, questions=1, **SETTINGS))]
    with stub_servers() as start:
        server = start(ModelServer(lm))
        arguments = {"base_url": server.url, "strategy": "branch", "levels": levels, "dtype": "float32"}
        client = ServerPrunedBestOfN("tiny", **arguments, store=str(tmp_path / "a.sqlite"))
        assert [str(r) for r in client.generate_until(requests(4, questions=1, **SETTINGS))] == expected
        asked = [payload for path, payload in server.asked if path.endswith("/completions")][1:]  # the first: a trial
        assert len(asked) == 4
        assert {len(p["prompt"]) + p["max_tokens"] for p in asked} == {len(asked[0]["prompt"]) + 24}
        again = ServerPrunedBestOfN("tiny", **arguments, store=str(tmp_path / "a.sqlite"))
        generated = count_rows(again)
        assert [str(r) for r in again.generate_until(requests(4, questions=1, **SETTINGS))] == expected
        assert generated == []


def test_a_server_without_log_probabilities_is_one_sentence_before_generation():
    with stub_servers() as start:
        server = start(ModelServer(model(strategy="base"), gives=False))
        with pytest.raises(InputError, match="gives no log-probabilities of other tokens, which strategy=branch needs"):
            ServerPrunedBestOfN("tiny", base_url=server.url, strategy="branch")
