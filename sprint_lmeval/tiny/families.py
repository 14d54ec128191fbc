"""The families of word problems: a random generator in, a question and its worked steps out. Standard library only.

Each family has its own structure (which quantities there are, and in what order they must be combined), several
questions it may ask, and several wordings. Steps are written by `Working`, which does the arithmetic itself, so that a
worked solution cannot disagree with its answer. Only `choice` and `randint` are drawn from the generator.
"""

from collections.abc import Callable
from random import Random

WOMEN = "Anna Maria Lucy Nora Emma Sofia Grace Ruth Clara Julia Mina Priya Aisha Yuki Elena Rosa".split()
MEN = "Tom Ben Carl David Peter Omar Luis Ivan Kenji Felix Hugo Paul Sam Noah Ravi Jack".split()
GOODS = "pens books apples cakes shirts toys lamps cups hats plants chairs plates balls maps masks kites".split()
SWEETS = "sweets stickers marbles cards nuts grapes cookies shells beads coins stamps buttons".split()
VEHICLES = "a car,a bus,a train,a truck,a van,a motorbike".split(",")
PLACES = "garden,field,room,yard,park,hall,playground,courtyard".split(",")
WANTED = "bike,phone,guitar,camera,tent,watch,desk,piano,tablet,drum".split(",")
MULTIPLES = {2: "twice", 3: "three times", 4: "four times"}
PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}
LEGS = {"cows": 4, "sheep": 4, "horses": 4, "goats": 4, "hens": 2, "ducks": 2, "geese": 2, "beetles": 6, "spiders": 8}


class Working:
    """Worked steps, one binary operation a line: `12 + 7 = 19`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, left: int, operator: str, right: int) -> int:
        if operator == "/":
            assert left % right == 0, f"{left} / {right} is not whole"
        result = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[operator]
        assert result >= 0, f"{left} {operator} {right} is negative"
        self.lines.append(f"{left} {operator} {right} = {result}")
        return result


def person(rng: Random) -> tuple[str, str, str]:
    """A name with its pronouns: ("Anna", "she", "her")."""
    return (rng.choice(WOMEN), "she", "her") if rng.choice((True, False)) else (rng.choice(MEN), "he", "his")


def several(rng: Random, words: list[str], count: int) -> list[str]:
    """`count` different words, in random order."""
    chosen: list[str] = []
    while len(chosen) < count:
        word = rng.choice(words)
        if word not in chosen:
            chosen.append(word)
    return chosen


def aside(rng: Random, name: str) -> str:
    """Now and then a sentence with a number that the solution must not use."""
    return rng.choice(
        ("",) * 6
        + (
            f" {name} lives at number {rng.randint(2, 99)}.",
            f" It is day {rng.randint(2, 30)} of the month.",
            f" {name} has {rng.randint(2, 9)} cousins.",
        )
    )


def shopping(rng: Random, work: Working) -> str:
    """Two products; then the total, the change, or the total after a coupon."""
    name, he, _ = person(rng)
    first, second = several(rng, GOODS, 2)
    many, price, more, cost = rng.randint(2, 9), rng.randint(3, 19), rng.randint(2, 9), rng.randint(3, 19)
    bought = rng.choice(
        (
            f"{name} buys {many} {first} for {price} dollars each and {more} {second} for {cost} dollars each.",
            f"In a shop {first} cost {price} dollars each and {second} cost {cost} dollars each. "
            f"{name} takes {many} {first} and {more} {second}.",
            f"{name} needs {many} {first} and {more} {second}. One of the {first} costs {price} dollars "
            f"and one of the {second} costs {cost} dollars.",
        )
    )
    total = work.step(work.step(many, "*", price), "+", work.step(more, "*", cost))  # at least 12
    ending = rng.choice(("total", "change", "coupon"))
    bought += aside(rng, name)
    if ending == "total":
        return f"{bought} How much does {he} pay in all?"
    if ending == "change":
        paid = (total // 50 + rng.randint(1, 4)) * 50
        work.step(paid, "-", total)
        return f"{bought} {he.capitalize()} pays with {paid} dollars. How much change does {he} get?"
    off = rng.randint(2, 11)
    work.step(total, "-", off)
    return f"{bought} A coupon takes {off} dollars off. How much does {he} pay?"


def ages(rng: Random, work: Working) -> str:
    """A chain of three people; then one of them later, the sum, or a difference."""
    one, two, three = several(rng, WOMEN + MEN, 3)
    base, times, gap = rng.randint(6, 24), rng.randint(2, 4), rng.randint(2, 5)
    older = rng.choice((True, False))
    told = [
        f"{one} is {base} years old.",
        f"{two} is {MULTIPLES[times]} as old as {one}.",
        f"{three} is {gap} years {'older' if older else 'younger'} than {two}.",
    ]
    if rng.choice((True, False)):
        told.reverse()
    second = work.step(base, "*", times)
    third = work.step(second, "+" if older else "-", gap)
    ending = rng.choice(("later", "sum", "difference"))
    if ending == "later":
        years = rng.randint(3, 30)
        work.step(third, "+", years)
        question = rng.choice(
            (f"How old will {three} be in {years} years?", f"What is {three}'s age {years} years from now?")
        )
    elif ending == "sum":
        work.step(work.step(base, "+", second), "+", third)
        question = rng.choice(("How old are they together?", "What is the sum of their three ages?"))
    else:
        work.step(third, "-", base)
        question = f"How many years older is {three} than {one}?"
    return " ".join((*told, question))


def distance(rng: Random, work: Working) -> str:
    """Two legs of a journey at two speeds; then the whole, the rest of the way, or the time back."""
    name, he, his = person(rng)
    hours, later = rng.randint(2, 6), rng.randint(2, 6)
    speed, slower = 5 * rng.randint(4, 16), 5 * rng.randint(4, 16)
    told = rng.choice(
        (
            f"{name} drives {rng.choice(VEHICLES)} for {hours} hours at {speed} km per hour "
            f"and then for {later} hours at {slower} km per hour.",
            f"On a journey {name} goes {speed} km per hour for {hours} hours. "
            f"After a rest {he} goes {slower} km per hour for {later} hours.",
        )
    ) + aside(rng, name)
    ending = rng.choice(("whole", "rest", "longer"))
    near, far = work.step(hours, "*", speed), work.step(later, "*", slower)
    if ending == "longer":
        work.step(max(near, far), "-", min(near, far))
        return f"{told} How many km longer is the longer part of {his} way?"
    whole = work.step(near, "+", far)
    if ending == "whole":
        return rng.choice((f"{told} How far does {he} go?", f"{told} How many km is that altogether?"))
    goal = whole + rng.randint(11, 299)
    work.step(goal, "-", whole)
    return f"{told} {name} wants to reach a town {goal} km away. How many km are left?"


def sharing(rng: Random, work: Working) -> str:
    """Packs are opened, some given away, the rest shared evenly: backwards from the share, so that it is whole."""
    name, he, his = person(rng)
    thing = rng.choice(SWEETS)
    friends, share, packs = rng.randint(2, 9), rng.randint(3, 15), rng.randint(2, 9)
    rest = friends * share
    size = rest // packs + rng.randint(1, 8)
    total = work.step(packs, "*", size)
    gone = total - rest
    work.step(total, "-", gone)
    each = work.step(rest, "/", friends)
    told = rng.choice(
        (
            f"{name} has {packs} boxes with {size} {thing} in each. {he.capitalize()} loses {gone} {thing}",
            f"There are {size} {thing} in a box and {name} buys {packs} boxes. {he.capitalize()} keeps {gone} {thing}",
            f"{name} opens {packs} packs of {size} {thing} and puts {gone} {thing} away. "
            f"{he.capitalize()} looks around",
        )
    )
    told += rng.choice(
        (
            f" and shares the rest evenly among {friends} friends.",
            f" and gives the others to {his} {friends} children in equal parts.",
        )
    )
    told += aside(rng, name)
    if rng.choice((True, False)):
        return f"{told} How many {thing} does each one get?"
    own = rng.randint(3, 40)
    work.step(own, "+", each)
    return f"{told} One of them had {own} {thing} before. How many {thing} does that one have now?"


def savings(rng: Random, work: Working) -> str:
    """Money at the start, money every week, something spent; then the balance, what is missing, or the weeks to go."""
    name, he, his = person(rng)
    start, weekly, weeks = rng.randint(10, 99), rng.randint(3, 19), rng.randint(3, 9)
    saved = work.step(weekly, "*", weeks)
    balance = work.step(start, "+", saved)
    told = rng.choice(
        (
            f"{name} has {start} dollars and saves {weekly} dollars a week for {weeks} weeks.",
            f"For {weeks} weeks {name} puts {weekly} dollars a week into a box that held {start} dollars at first.",
            f"{name} earns {weekly} dollars every week. {he.capitalize()} had {start} dollars {weeks} weeks ago.",
        )
    ) + aside(rng, name)
    spent = rng.randint(5, balance - 1)
    left = work.step(balance, "-", spent)
    told += f" Then {he} spends {spent} dollars on {his} {rng.choice(('brother', 'sister', 'dog', 'cat', 'garden'))}."
    ending = rng.choice(("balance", "missing", "weeks"))
    if ending == "balance":
        return f"{told} How much money is left?"
    if ending == "missing":
        price = left + rng.randint(11, 150)
        work.step(price, "-", left)
        return f"{told} How much more does {he} need for a {rng.choice(WANTED)} that costs {price} dollars?"
    again = rng.randint(2, 9)
    price = left + again * weekly
    work.step(work.step(price, "-", left), "/", weekly)
    return f"{told} A {rng.choice(WANTED)} costs {price} dollars. How many more weeks must {he} save?"


def animals(rng: Random, work: Working) -> str:
    """Three kinds of animals, the numbers of two given by the first; then heads, legs, or the legs of what stays."""
    name, _, _ = person(rng)
    one, two, three = several(rng, list(LEGS), 3)
    count, times, more = rng.randint(3, 15), rng.randint(2, 4), rng.randint(2, 19)
    told = rng.choice(
        (
            f"{name} keeps {count} {one}, {MULTIPLES[times]} as many {two} as {one} "
            f"and {more} more {three} than {one}.",
            f"On a farm there are {count} {one}. There are {MULTIPLES[times]} as many {two}, "
            f"and the number of {three} is {more} more than that of the {one}.",
        )
    ) + aside(rng, name)
    second, third = work.step(count, "*", times), work.step(count, "+", more)
    ending = rng.choice(("heads", "legs", "sold"))
    if ending == "heads":
        work.step(work.step(count, "+", second), "+", third)
        return f"{told} How many animals are there?"
    if ending == "legs":
        work.step(work.step(second, "*", LEGS[two]), "+", work.step(third, "*", LEGS[three]))
        return f"{told} How many legs do the {two} and the {three} have together?"
    sold = rng.randint(1, second - 1)
    work.step(work.step(second, "-", sold), "*", LEGS[two])
    return f"{told} {sold} {two} run away. How many legs do the other {two} have?"


def geometry(rng: Random, work: Working) -> str:
    """A rectangle by its width and a relation; then its fence, some rounds, or tiles for a strip."""
    place = rng.choice(PLACES)
    width, gap, times = rng.randint(4, 25), rng.randint(2, 15), rng.randint(2, 4)
    if rng.choice((True, False)):
        told = f"A {place} is {width} m wide and {gap} m longer than it is wide."
        length = work.step(width, "+", gap)
    else:
        told = f"A {place} is {width} m wide and its length is {MULTIPLES[times]} its width."
        length = work.step(width, "*", times)
    ending = rng.choice(("around", "gate", "tiles"))
    if ending == "tiles":
        price, short = rng.randint(2, 5), rng.randint(2, 5)
        work.step(work.step(length, "*", short), "*", price)
        told += f" A strip {short} m wide along its length gets tiles for {price} dollars per square m."
        return f"{told} What do they cost?"
    around = work.step(work.step(width, "+", length), "*", 2)
    if ending == "gate":
        gate = rng.randint(1, 7)
        work.step(around, "-", gate)
        return f"{told} A fence goes around it, but for a gate of {gate} m. How many m of fence is that?"
    rounds = rng.randint(2, 4)
    work.step(around, "*", rounds)
    name, he, _ = person(rng)
    return f"{told} {name} walks around it {rounds} times. How many m does {he} walk?"


def fractions(rng: Random, work: Working) -> str:
    """A part is taken, then a part of the rest, then a number: backwards from the end, so that each is whole."""
    name, he, his = person(rng)
    thing = rng.choice(SWEETS + GOODS)
    first, second, unit = rng.randint(2, 5), rng.randint(2, 5), rng.randint(2, 9)
    total = first * second * unit
    told = rng.choice(
        (
            f"{name} has {total} {thing}.",
            f"There are {total} {thing} in {name}'s bag.",
            f"{name} finds {total} {thing} in a box.",
        )
    )
    friend = rng.choice(("mother", "father", "sister", "brother", "teacher", "neighbour"))
    rest = work.step(total, "-", work.step(total, "/", first))
    told += f" {he.capitalize()} gives {PARTS[first]} of them to {his} {friend}"
    if rng.choice((True, False)):
        told += f" and sells {PARTS[second]} of the rest."
        left = work.step(rest, "-", work.step(rest, "/", second))
    else:
        found = rng.randint(3, 60)
        told += f" and then gets {found} new {thing}."
        left = work.step(rest, "+", found)
    if rng.choice((True, False)):
        return f"{told} How many {thing} does {he} have now?"
    price = rng.randint(2, 9)
    work.step(left, "*", price)
    return f"{told} What are the {thing} that {he} has now worth at {price} dollars each?"


FAMILIES: dict[str, Callable[[Random, Working], str]] = {
    family.__name__: family for family in (shopping, ages, distance, sharing, savings, animals, geometry, fractions)
}
