"""An account of decoding: which tokens were computed, for what, and how long the passes took.

A token counts by the share of its layers that a pass computes: with 16 of 24 layers, 2/3. So tokens are comparable with
those of a prefill, whose rate bounds all decoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CAUSES = {  # in the order of the table
    "prompt": "prompts",
    "given": "given answer tokens",
    "reference_shared": "reference answer: layers shared by all rows",
    "reference_kept": "reference answer: read along and kept",
    "reference_rejected": "reference answer: read along and thrown away",
    "draft_accepted": "drafts accepted",
    "draft_rejected": "drafts rejected",
    "single": "single steps",
    "padding": "padding",
}


@dataclass
class Account:
    """What one or more calls of `generate` computed.

    Attributes:
        tokens: cause (of `CAUSES`) -> tokens computed.
        passes: size -> (passes, tokens, seconds); a pass has at most `size` tokens, a power of two, and more than half.
        written: new tokens of the responses.
        total_s: seconds of `generate` itself, without those between its responses.
    """

    tokens: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.0))
    passes: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    written: int = 0
    total_s: float = 0.0
    _share: float = 1.0  # of the layers that the last pass computed

    @classmethod
    def of(cls, recorded: dict) -> Account:
        """Return the account that `dataclasses.asdict` and JSON made a dict of."""
        passes = {int(size): tuple(figures) for size, figures in recorded["passes"].items()}
        return cls(recorded["tokens"], passes, recorded["written"], recorded["total_s"])

    def add_pass(self, tokens: int, seconds: float, share: float = 1.0, passes: int = 1) -> None:
        """Count a pass, or several of about one size; tokens are padding until `add` says what they were for."""
        self._share = share
        self.tokens["padding"] += tokens * share
        size = 1 << (-(-tokens // passes) - 1).bit_length()
        count, computed, before_s = self.passes.get(size, (0, 0.0, 0.0))
        self.passes[size] = count + passes, computed + tokens * share, before_s + seconds

    def add(self, cause: str, tokens: int) -> None:
        """Say for what so many tokens of the last pass were computed."""
        self.tokens[cause] += tokens * self._share
        self.tokens["padding"] -= tokens * self._share

    @property
    def computed(self) -> float:
        return sum(self.tokens.values())

    @property
    def model_s(self) -> float:
        """Seconds inside forward passes."""
        return sum(seconds for _, _, seconds in self.passes.values())

    def table(self, prefill_rate: float | None = None) -> str:
        """Return Markdown: tokens by cause, passes by size, and a line of sums.

        Args:
            prefill_rate: tokens per second at which the model reads prompts, to compare with.
        """
        written = max(1, self.written)
        lines = ["| computed for | tokens | per token written | share |", "|---|---|---|---|"]
        for cause, label in CAUSES.items():
            count = self.tokens[cause]
            share = count / max(1.0, self.computed)
            lines.append(f"| {label} | {count:.0f} | {count / written:.3f} | {share:.0%} |")
        lines += ["", "| tokens in a pass | passes | tokens | seconds | tokens/s |", "|---|---|---|---|---|"]
        for size, (passes, tokens, seconds) in sorted(self.passes.items()):
            rate = tokens / max(seconds, 1e-9)
            lines.append(f"| up to {size} | {passes} | {tokens:.0f} | {seconds:.2f} | {rate:.0f} |")
        return "\n".join([*lines, "", self._sums(prefill_rate)])

    def _sums(self, prefill_rate: float | None) -> str:
        rate = self.computed / max(self.total_s, 1e-9)
        share = f" ({rate / prefill_rate:.0%} of the prefill rate)" if prefill_rate else ""
        return (
            f"{self.written} tokens written, {self.computed:.0f} computed: "
            f"{self.computed / max(1, self.written):.2f} for each; {rate:.0f} computed/s{share}; "
            f"{self.total_s:.2f} s, {self.total_s - self.model_s:.2f} s of them outside of the model"
        )
