"""What the command lines have in common: a parser whose complaint is one sentence, both spellings, the N of `-n`."""

import argparse

from sprint_lmeval.harness.command_line import as_spelt_by


class OneSentenceParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the usage before it; takes `--no_texts` for `--no-texts`."""

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(args if args is None else as_spelt_by(self, args), namespace)

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def positive_number(text: str) -> int:
    """Parse the N of `-n`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, it must be a whole number from 1 up")
    return int(text)


def responses_by_task(text: str) -> dict[str, int]:
    """Parse the value of `run -n`: `8`, `gsm8k_passn=8`, or several with commas; all tasks stand under ""."""
    parts = [part.rpartition("=") for part in text.split(",")]
    return {task.strip(): positive_number(number.strip()) for task, _, number in parts}
