"""Drafts: where they come from, how many tokens are worth verifying."""

from sprint_lmeval.generation.fast.drafts import (
    LONGEST_DRAFT,
    NGRAM_LENGTHS,
    DraftRecord,
    NgramIndex,
    ReferenceAgreement,
    most_worthwhile,
    worthwhile,
)

SURE = dict.fromkeys(NGRAM_LENGTHS, 0.99)


def test_an_answer_is_copied_from_where_the_context_is_known():
    ngrams = NgramIndex()
    ngrams.learn([1, 2, 3, 4, 5, 6, 7], 0)
    assert ngrams.draft([9, 2, 3], 10, SURE)[0] == [4, 5, 6, 7]
    assert ngrams.draft([9, 2, 3], 2, SURE)[0] == [4, 5]
    assert ngrams.draft([9, 9, 3], 10, SURE) == ([], [])
    assert ngrams.draft([1, 2], 0, SURE) == ([], [])


def test_the_longest_known_ngram_decides():
    ngrams = NgramIndex()
    ngrams.learn([1, 2, 3, 4], 0)
    ngrams.learn([9, 2, 3, 5], 0)
    assert ngrams.draft([0, 2, 3], 1, SURE) == ([5], [2])  # two tokens: what was written last
    assert ngrams.draft([1, 2, 3], 1, SURE) == ([4], [3])  # three tokens are known


def test_an_unlikely_token_ends_the_draft():
    ngrams = NgramIndex()
    ngrams.learn(list(range(40)), 0)
    half = dict.fromkeys(NGRAM_LENGTHS, 0.5)
    assert len(ngrams.draft([0, 1], 15, half)[0]) == 3  # 0.5 ** 4 < 0.1


def test_the_record_follows_what_happened():
    record = DraftRecord()
    for _ in range(300):
        record.note([2, 2, 2], accepted=0)
        record.note([12, 12, 12], accepted=3)
    acceptance = record.acceptance()
    assert acceptance[2] < 0.1 < 0.9 < acceptance[12]


def test_only_what_was_reached_is_counted():
    record = DraftRecord()
    before = record.verified[12]
    record.note([2, 12], accepted=0)
    assert record.verified[12] == before


def test_drafts_pay_while_a_pass_waits_for_the_weights():
    drafts = [[12] * LONGEST_DRAFT]
    assert worthwhile(drafts, SURE, overhead=256) == LONGEST_DRAFT
    assert worthwhile(drafts * 2000, dict.fromkeys(NGRAM_LENGTHS, 0.5), overhead=24) == 0
    assert worthwhile([[]] * 4, SURE, overhead=256) == 0
    few, many = (worthwhile([[12] * 15] * n, dict.fromkeys(NGRAM_LENGTHS, 0.8), 72) for n in (4, 128))
    assert few > many


def test_more_is_read_along_where_rows_agree():
    often, seldom = ReferenceAgreement(), ReferenceAgreement()
    for _ in range(50):
        often.note(40, differed=False)
        seldom.note(3, differed=True)
    assert often.acceptance > 0.99 and 0.7 < seldom.acceptance < 0.8
    lengths = [most_worthwhile(8, agreement.acceptance, 80, 128) for agreement in (often, seldom)]
    assert lengths[0] > 4 * lengths[1] > 0
    assert most_worthwhile(8, 1.0, 80, 128) == 128, "certain tokens always pay"
    assert most_worthwhile(8, 0.0, 80, 128) == 0
    assert most_worthwhile(8, 0.9, 80, 0) == 0
