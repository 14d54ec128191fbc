"""Samples, ordinary and arithmetic: each has the distribution of the model, and codes spread the samples evenly."""

import random
from collections import Counter
from itertools import pairwise

import pytest
import torch

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.rows import Row
from sprint_lmeval.generation.sampling import LEAST_PROBABILITY, Code, Multinomial, RowSampler
from tests.shared.decoding_examples import fast, prompts
from tests.shared.decoding_examples import plain as plain
from tests.shared.decoding_examples import tiny as tiny

P = [0.5, 0.3, 0.15, 0.05]
FILTERS = [
    ({"temperature": 1.0}, P),
    ({"temperature": 2.0}, [0.378, 0.293, 0.207, 0.12]),
    ({"temperature": 1.0, "top_k": 2}, [0.625, 0.375, 0, 0]),
    ({"temperature": 1.0, "top_p": 0.9}, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
]
# Which token follows which: a language of three tokens.
LANGUAGE = torch.tensor([[0.6, 0.3, 0.1], [0.05, 0.9, 0.05], [1 / 3, 1 / 3, 1 / 3]])


@pytest.mark.parametrize(("options", "expected"), FILTERS)
def test_the_sampler_draws_the_warped_distribution(options, expected):
    draws = 8000
    scores = torch.tensor(P).log().expand(draws, 4)
    drawn = RowSampler(list(range(draws)), **options)(torch.zeros(draws, 1), scores).argmax(-1).tolist()
    counts = Counter(drawn)
    assert set(counts) == {i for i, p in enumerate(expected) if p}
    for token, probability in enumerate(expected):
        assert counts[token] / draws == pytest.approx(probability, abs=0.022)  # 4 standard deviations


def test_the_sampler_never_draws_a_forbidden_token():
    scores = torch.full((500, 50), -torch.inf)
    scores[:, 17] = 0.0
    for codes in (None, [i / 500 for i in range(500)]):
        sampler = RowSampler(list(range(500)), temperature=1.0, codes=codes)
        for _ in range(3):
            assert set(sampler(torch.zeros(500, 1), scores).argmax(-1).tolist()) == {17}


@pytest.mark.parametrize(("options", "expected"), FILTERS)
@pytest.mark.parametrize("shift", [0.0, 0.123, 0.77])
def test_evenly_spread_codes_draw_each_token_as_often_as_it_is_probable(options, expected, shift):
    count = 64
    codes = [(van_der_corput(i) + shift) % 1 for i in range(count)]
    sampler = RowSampler(range(count), **options, codes=codes)
    drawn = Counter(sampler(torch.zeros(count, 1), torch.tensor(P).log().expand(count, 4)).argmax(-1).tolist())
    for token, probability in enumerate(expected):
        assert abs(drawn[token] - count * probability) < 1.1, "an interval holds its share of the codes, up to one"


def van_der_corput(index: int) -> float:
    return sum(int(digit) / 2**depth for depth, digit in enumerate(reversed(f"{index:b}"), 1))


def written(codes: list[float], length: int) -> list[tuple[int, ...]]:
    """Return texts of the language, beginning behind token 0."""
    sampler, last, texts = RowSampler(range(len(codes)), 1.0, codes=codes), [0] * len(codes), []
    for _ in range(length):
        last = sampler(torch.zeros(len(codes), 1), LANGUAGE[last].log()).argmax(-1).tolist()
        texts.append(last)
    return list(zip(*texts, strict=True))


def test_each_arithmetic_sample_has_the_distribution_of_an_ordinary_one():
    """One code, drawn evenly: texts are as probable as the language says, also behind where the code is used up."""
    draw, draws, length = random.Random(5), 20_000, 12
    texts = written([draw.random() for _ in range(draws)], length)
    for text, count in Counter(text[:3] for text in texts).items():
        probability = LANGUAGE[0, text[0]] * LANGUAGE[text[0], text[1]] * LANGUAGE[text[1], text[2]]
        deviation = (probability * (1 - probability) / draws) ** 0.5
        assert abs(count / draws - probability) < 4.5 * deviation, text
    assert min(map(probability_of, texts)) < LEAST_PROBABILITY / 8, "no text outlives its code"
    pairs = Counter(pair for text in texts for pair in list(pairwise(text))[-4:])  # deep in the texts
    for token in range(3):
        total = sum(pairs[token, other] for other in range(3))
        for other in range(3):
            probability = LANGUAGE[token, other].item()
            deviation = (probability * (1 - probability) / total) ** 0.5
            assert abs(pairs[token, other] / total - probability) < 4.5 * deviation, (token, other)


def probability_of(text: tuple[int, ...]) -> float:
    return float(torch.prod(torch.stack([LANGUAGE[a, b] for a, b in pairwise((0, *text))])))


def test_a_prefix_is_written_by_its_share_of_the_codes():
    count = 256
    texts = written([(van_der_corput(i) + 0.4) % 1 for i in range(count)], 3)
    for length in (1, 2, 3):
        for text, seen in Counter(text[:length] for text in texts).items():
            assert abs(seen - count * probability_of(text)) < 1.1, text


def test_a_code_ends_once_its_text_is_improbable():
    code = Code(0.3)
    for _ in range(8):
        code = code.behind(0.0, 0.5) if code.number < 0.5 else code.behind(0.5, 0.5)
    assert code.probability == LEAST_PROBABILITY and 0 <= code.number < 1
    assert code.behind(0.0, 0.9) is None
    assert Code(0.5).behind(0.5 + 1e-17, 0.5).number == 0.0
    assert Code(1 - 2**-53).behind(0.0, 1 - 2**-53).number < 1.0


def test_running_sums_over_several_blocks():
    scores = torch.randn(6, 3000, generator=torch.Generator().manual_seed(1))
    sums, probabilities = Multinomial(1.0).of(scores), scores.double().softmax(-1)
    numbers = [0.0, 0.2, 0.4, 0.6, 0.8, 1 - 2**-53]
    for line, (token, before, mass) in enumerate(sums.intervals(range(6), numbers)):
        assert before == pytest.approx(probabilities[line, :token].sum().item(), abs=1e-6)
        assert mass == pytest.approx(probabilities[line, token].item(), rel=1e-4)
        assert before - 1e-6 <= numbers[line] <= before + mass + 1e-6
    assert sums.tokens(numbers).tolist() == [token for token, _, _ in sums.intervals(range(6), numbers)]


@pytest.mark.parametrize(("code", "seed"), [(0.5, None), (1.0, 3), (-0.1, 3), (float("nan"), 3)])
def test_a_code_is_a_number_below_one_beside_a_seed(code, seed):
    with pytest.raises(ValueError, match="from 0 up to below 1, beside a seed"):
        Row("a", BASE, 0, seed, code)


@pytest.mark.parametrize("settings", [{"temperature": 0.9}, {"temperature": 1.5, "top_k": 40, "top_p": 0.95}])
def test_arithmetic_samples_are_the_same_the_fast_way(tiny, plain, settings):
    candidates = (BASE, Candidate.parse("L1H2"))
    rows = [
        Row(prompt, c, i, seed=1000 * number + i, code=(van_der_corput(i) + 0.61 * number) % 1)
        for number, prompt in enumerate(prompts(3))
        for c in candidates
        for i in range(6)
    ]
    rows += [Row(prompts(1)[0], BASE, 9, seed=4)]  # an ordinary sample beside them
    found = fast(tiny, rows, **settings)
    assert found == plain(rows, **settings)
    alone = rows[3]
    assert fast(tiny, [alone], **settings)[alone] == found[alone], "the text does not depend on the batch"
    assert len({response.text for response in found.values()}) > 8
