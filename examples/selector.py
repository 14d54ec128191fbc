"""Which heads a selector would silence for two questions, best first."""

from sprint_lmeval import Selector

selector = Selector.from_pretrained("tiny-coverage")
for ranked in selector.rank(["Tom has 3 apples and buys 4 more. How many has he?", "What is 12 times 3?"], n=4):
    print(*ranked)
# base L2H3 L3H5 L1H7
# L1H0 L2H3 L0H1 L1H2
