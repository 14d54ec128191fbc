"""Two answers of the embedded model to one question: of the whole model and without a head, in one batch."""

from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval import Row, Settings, check_answer, generate
from sprint_lmeval.tiny import MODEL_FOLDER as TINY
from sprint_lmeval.tiny.problems import problems

model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)
problem = problems("train")[0]
rows = [Row(problem.prompt, candidate) for candidate in ("base", "L0H0")]
for row, response in generate(model, tokenizer, rows, Settings(max_new_tokens=160, until=["\nQuestion:"])):
    print(row.candidate, check_answer(response.text, str(problem.answer), kind="number").value)
# base correct
# L0H0 incorrect
