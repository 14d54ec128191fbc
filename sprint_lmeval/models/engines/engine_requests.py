"""Rows -> requests of an engine with adapters (vLLM in this process or behind a server); its tokens -> responses.

Prompts are encoded and cut, and responses end, as in generation/rows.py. The parameters are those of vLLM's
`SamplingParams`, which its server takes too; each of them is given, so that no default of checkpoint or server counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.generation.decode import end_token_ids
from sprint_lmeval.generation.rows import Response, Row, Settings, Step, encode, response_of
from sprint_lmeval.generation.stopping import StopStrings
from sprint_lmeval.models.generation_settings import altered_decoding

OF_GENERATE = {"repetition_penalty": "repetition_penalty", "min_new_tokens": "min_tokens"}  # theirs: vLLM's
NOTHING = {"repetition_penalty": 1.0, "min_new_tokens": 0}
FINISHED = ("stop", "length")  # finish reasons of a whole answer; with any other one it was cut off


@dataclass(frozen=True)
class Checkpoint:
    """A model's configuration and generation settings: what is read of it in this process, without weights."""

    config: PretrainedConfig
    generation_config: GenerationConfig

    @classmethod
    def of(cls, pretrained: str, config: PretrainedConfig, **of_the_hub: object) -> Checkpoint:
        """Read the generation settings that belong to a configuration.

        Raises:
            InputError: the hub does not answer, so that nobody knows whether there are any.
        """
        named = {key: value for key, value in of_the_hub.items() if key != "trust_remote_code"}
        try:
            return cls(config, GenerationConfig.from_pretrained(pretrained, **named))
        except OSError as error:
            if isinstance(error.__cause__, LocalEntryNotFoundError) and not constants.HF_HUB_OFFLINE:
                said = cause(error)
                raise InputError(
                    f"the generation settings of {pretrained} could not be fetched ({said}): try again, or with "
                    "HF_HUB_OFFLINE=1 what is on this disk is all there is"
                ) from None
        # There are none of its own: those in the configuration file, as transformers does.
        in_config = {"config_file_name": "config.json", "_from_model_config": True}
        return cls(config, GenerationConfig.from_pretrained(pretrained, **in_config, **named))

    @property
    def vocabulary(self) -> int:
        """How many tokens the model has, those included that its tokenizer lacks."""
        return int(getattr(self.config.get_text_config(), "vocab_size", None) or 0)

    def not_applied(self) -> dict:
        """Return what the generation settings change in greedy decoding and an engine does not receive."""
        return {
            k: v for k, v in altered_decoding(self.generation_config.to_diff_dict()).items() if k not in OF_GENERATE
        }


@dataclass(frozen=True)
class Request:
    """A row as an engine gets it: token ids of prompt and given answer, parameters, how many of the prompt are cut."""

    row: Row
    tokens: list[int]
    parameters: dict
    cut: int


class EngineRows:
    """Makes requests of rows, and responses of an engine's tokens, under one set of generation settings."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, checkpoint: Checkpoint, settings: Settings) -> None:
        self.tokenizer, self.settings = tokenizer, settings
        self.ends = end_token_ids(checkpoint, tokenizer, settings.until)
        self.parameters = self._parameters(checkpoint)

    def _parameters(self, checkpoint: Checkpoint) -> dict:
        settings = self.settings
        for name, value in settings.generate_arguments.items():
            if name not in OF_GENERATE:
                raise InputError(
                    f"generation argument {name}={value} given, vLLM takes {' and '.join(OF_GENERATE)}: leave it out, "
                    "or use hf-pruned-bon"
                )
        of_checkpoint = checkpoint.generation_config.to_diff_dict()
        given = {**NOTHING, **{k: of_checkpoint[k] for k in NOTHING if of_checkpoint.get(k)}}
        given |= settings.generate_arguments
        return {
            "max_tokens": settings.max_new_tokens,
            "top_p": settings.top_p,
            "top_k": settings.top_k,  # 0: all, as here
            "min_p": 0.0,
            # Behind a think_end_token the stop strings count in the response only, as in the harness's vllm model.
            "stop": [] if settings.think_end_token is not None else [stop for stop in settings.until if stop],
            "stop_token_ids": self.ends,
            **{theirs: given[ours] for ours, theirs in OF_GENERATE.items()},
        }

    def requests(self, rows: Sequence[Row], tops: Mapping[Row, int] | None = None) -> Iterator[Request]:
        """Yield the rows' requests candidate by candidate, prompts in order: adapters and prefixes are used again.

        The keys and values of a prefix are shared by rows of one adapter only, so rows of one adapter come together.
        `tops`: how many other tokens, with their log-probabilities, are asked for at each step; 0: none.
        """
        encoded = {prompt: encode(self.tokenizer, prompt, self.settings) for prompt in {row.prompt for row in rows}}
        room = self.settings.max_prompt_tokens or max(map(len, encoded.values()), default=0)
        tokens = {prompt: ids[-room:] for prompt, ids in encoded.items()}  # one list for all rows of a prompt
        order = {candidate: number for number, candidate in enumerate(dict.fromkeys(row.candidate for row in rows))}
        for row in sorted(rows, key=lambda row: (order[row.candidate], encoded[row.prompt], row.given, row.sample)):
            drawn = row.seed is not None
            own = {"temperature": self.settings.temperature if drawn else 0.0, "seed": row.seed}
            if not drawn:
                own |= {"top_p": 1.0, "top_k": 0}
            if row.given:
                own["max_tokens"] = self.settings.max_new_tokens - len(row.given)
            if top := (tops or {}).get(row):
                own["logprobs"] = top + 1
            cut = max(0, len(encoded[row.prompt]) - room)
            yield Request(row, [*tokens[row.prompt], *row.given], {**self.parameters, **own}, cut)

    def response(
        self, request: Request, tokens: Sequence[int], stop_reason: object, steps: Sequence[Step] = ()
    ) -> Response:
        """Return the response to a request.

        Args:
            request: what was asked.
            tokens: the new token ids, with the end token.
            stop_reason: the stop string that ended it, a token id, or None.
            steps: of the new tokens, where they were asked for.
        """
        given = len(request.row.given)
        tokens = [*request.row.given, *tokens]
        stopped = len(tokens) if isinstance(stop_reason, str) else None
        if given and self.parameters["stop"]:  # the engine does not look at what was given
            stops = StopStrings(self.tokenizer, self.parameters["stop"], rows=0, prompt_tokens=0)
            counts = range(given + 1, len(tokens) + 1)
            stopped = next((count for count in counts if stops.met(tokens[:count], count)), stopped)
        said = response_of(self.tokenizer, tokens, stopped, self.ends, self.settings, given)
        return replace(said, cut_tokens=request.cut, steps=tuple(steps[: said.new_tokens]))


def step_among(token: int, log_probability: float, best: Mapping[int, float]) -> Step:
    """Return the step that took a token where the best tokens had these log-probabilities."""
    others = sorted(((other, value) for other, value in best.items() if other != token), key=lambda pair: -pair[1])
    return Step(token, log_probability, tuple(others))
