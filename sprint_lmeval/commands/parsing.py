"""What the command lines have in common: a parser whose complaint is one sentence, and the N of `-n`."""

import argparse


class OneSentenceParser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the usage before it."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def positive_number(text: str) -> int:
    """Parse the N of `-n`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, it must be a whole number from 1 up")
    return int(text)
