"""Training questions with their worked answers, as a task of ours shows them to a model."""

from __future__ import annotations

from sprint_lmeval import autoload
from sprint_lmeval.errors import InputError
from sprint_lmeval.harness.command_line import our_tasks
from sprint_lmeval.selection.draw import drawn_questions


def worked_questions(name: str, count: int, seed: int) -> list[tuple[str, str]]:
    """Return (prompt, worked answer) of questions that a sweep of the same seed draws too; few-shot as the task has it.

    Raises:
        InputError: not a task of training questions, or more questions than it has.
    """
    from lm_eval.tasks import TaskManager

    allowed = [task for task in our_tasks() if "_train_passn" in task]
    if name not in allowed:
        raise InputError(f"--task {name} given, it must be one of training questions: {', '.join(allowed)}")
    tasks = TaskManager(include_path=autoload.tasks_folder(), include_defaults=False).load([name])["tasks"]
    task, documents = tasks[name], tasks[name].eval_docs
    drawn = (documents[i] for i in drawn_questions(list(documents["question"]), count, seed))
    shots = task.config.num_fewshot or 0
    return [(task.fewshot_context(doc, shots), task.config.target_delimiter + task.doc_to_target(doc)) for doc in drawn]
