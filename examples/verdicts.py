"""What counts as correct: symbolic equality of the boxed answer with the gold."""

from sprint_lmeval import check_answer

for response in (r"so \boxed{\frac{1}{2}}", r"about \boxed{0.51}", "I do not know"):
    print(check_answer(response, "0.5", kind="math").value)
# correct
# incorrect
# no_answer
