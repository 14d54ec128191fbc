"""What the models on engines with adapters share: everything before an engine is there, and what results record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

from sprint_lmeval.adapters.engine_check import AdapterTest
from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import config_heads
from sprint_lmeval.errors import InputError
from sprint_lmeval.generation.rows import Response, Row, Settings, Successors, whole_response
from sprint_lmeval.models.best_of_n import BestOfN
from sprint_lmeval.models.checks import check_before_loading
from sprint_lmeval.models.engines.engine_requests import Checkpoint, EngineRows, Request
from sprint_lmeval.store.keys import altered_facts
from sprint_lmeval.strategies.build import StrategyArguments, build_strategy

MOST_LOGPROBS = 20  # that vLLM gives of each position where it is started without max_logprobs
NOT_SENT = "asks for what the engine is not told"


class EngineModel(BestOfN):
    """A harness model whose candidates are adapters of an engine.

    Attributes:
        self_test: what was seen on the engine, or None where nothing is pruned.
    """

    self_test: AdapterTest | None = None
    _checkpoint: Checkpoint

    def _prepare(self, pretrained: str, chosen: StrategyArguments, of_model: dict) -> None:
        """Read the model's configuration and make the strategy.

        Args:
            pretrained: folder or hub id.
            chosen: what the user wrote about strategies.
            of_model: arguments that say which model it is, or make it another one than its files say.
        """
        self.n = chosen.n
        build = build_strategy(chosen)
        if chosen.codes is not None:
            raise InputError(
                f"codes={chosen.codes} given, which needs each token's whole distribution, and an engine draws by "
                "itself: use hf-pruned-bon, or leave it out"
            )
        check_before_loading(pretrained, build, of_model)
        self.layout = config_heads(pretrained, **of_model)
        self.strategy = build([layer.heads for layer in self.layout.layers])
        self._fingerprint = partial(model_fingerprint, pretrained, **of_model)
        self._altered = altered_facts(pretrained, of_model)

    def _pruned(self) -> list[Candidate]:
        """Return every candidate that may need an adapter."""
        return [candidate for candidate in self.strategy.possible() if candidate != BASE]

    def load_weights(self) -> None:
        """No-op: the engine loaded its weights when it was built."""

    def _settings(self, gen_kwargs: dict, task_name: str | None = None) -> Settings:
        settings = super()._settings(gen_kwargs, task_name)
        self._requests_for(settings)  # raises for what an engine does not take, before the first row
        return settings

    def _generate(
        self, rows: list[Row], settings: Settings, successors: Successors | None = None
    ) -> Iterator[tuple[Row, Response]]:
        """Decode rows, then those that follow them, round by round: the engine has their beginnings in its cache."""
        kind = self._requests_for(settings)
        while rows:
            whole = {row: whole_response(self.tokenizer, row, kind.ends, settings) for row in rows}
            left, following = [row for row in rows if not whole[row]], []
            tops = {row: min(successors.top(row), MOST_LOGPROBS - 1) for row in left} if successors else {}
            there = ((row, response) for row, response in whole.items() if response)
            for row, response in chain(there, self._answers(kind, kind.requests(left, tops)) if left else ()):
                yield row, response
                following += successors.after(row, response) if successors else ()
            rows = following

    def _answers(self, kind: EngineRows, asked: Iterator[Request]) -> Iterator[tuple[Row, Response]]:
        """Let the engine answer requests and yield each one's row and response."""
        raise NotImplementedError

    def _ends(self, settings: Settings) -> list[int]:
        return self._requests_for(settings).ends

    def _requests_for(self, settings: Settings) -> EngineRows:
        return EngineRows(self.tokenizer, self._checkpoint, settings)

    def _described_with(self, engine: dict, versions: dict) -> dict:
        """Return what the results hold under `sprint`, the engine included."""
        sprint = self._described(self._checkpoint)
        sprint["versions"] |= versions
        return {**sprint, "engine": engine}
