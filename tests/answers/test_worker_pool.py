"""Worker processes under hostile answers and in every situation from which verdicts are asked."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from sprint_lmeval.answers import worker_pool
from sprint_lmeval.answers.verdicts import Verdict, check_answer, check_golds, judge_responses
from sprint_lmeval.errors import InputError
from tests.shared.environments import REPOSITORY

STUCK = "(10^{9})!"  # keeps sympy busy past any limit

HOSTILE = {
    "tower": r"9^{9^{9^9}}",
    "taller tower": r"9^{9^{9^{9^{9^9}}}}",
    "tower of roots": r"\sqrt{2}^{\sqrt{3}^{9^{9^9}}}",
    "negative tower": r"x^{-9^{9^9}}",
    "tower in a fraction": r"\frac{1}{7^{8^{9^9}}}",
    "huge matrix": r"\operatorname{eye}(20000)",
    "matrix power": r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}^{99999999}",
    "factorials": "10!!!!!!!",
    "factorial of a factorial": "((9!)!)!",
    "huge factorial": STUCK,
    "binomial": r"\binom{10^{12}}{10^{11}}",
    "giant integer": "7" * 390,
    "giant power": r"123456789^{123456789}",
    "giant decimal": "0." + "1" * 390,
    "sum": r"\sum_{n=1}^{10^{12}} \frac{\sin(n^n)}{n!}",
    "nested sums": r"\sum_{i=1}^{999}\sum_{j=1}^{999}\sum_{k=1}^{999} \sin(ijk)",
    "product": r"\prod_{n=1}^{10^9} n^n",
    "integral": r"\int_0^1 \frac{\sin(x^x)}{\ln(x+e^{x^2})} dx",
    "nested integrals": r"\int_0^x \int_0^y \int_0^z e^{-t^t} \sin(t^2 z) dt dz dy",
    "limit": r"\lim_{x \to 0} \frac{\sin(\tan(\sin(x))) - \tan(\sin(\tan(x)))}{x^{19}}",
    "derivative": r"\frac{d}{dx} x^{x^{x^{x^{x^{x^x}}}}}",
    "expansion": r"(a+b+c+d+e+f+g+h)^{999}",
    "expansion of expansions": r"((((a+b+c)^{99}+d)^{99}+f)^{99}+g)^{99}",
    "nested roots": r"\sqrt{1+" * 40 + "1" + "}" * 40,
    "nested fractions": r"\frac{1}{1+" * 30 + "x" + "}" * 30,
    "nested parentheses": "(" * 190 + "5" + ")" * 190,
    "nested braces": "{" * 190 + "5" + "}" * 190,
    "nested absolute values": "|" * 390,
    "long chain": "=".join(f"x_{number}" for number in range(70)),
    "long sum": "+".join(["x^x"] * 95),
    "long product of roots": "".join(rf"\sqrt{{{number}}}" for number in range(2, 36)),
    "many variables": r"(a+b+c+d)(e+f+g+h)(j+k+l+m)(n+p+q+r)(s+t+u+v)^{40}",
    "equation of high degree": "x^{97} + 3x^{51} - 7x^{13} + 11x = \\sqrt{x^5 - x + 1}",
    "inequalities": " < ".join(f"x^{{{number}}}" for number in range(1, 35)),
    "huge interval union": r"\cup".join(f"({number},{number + 1})" for number in range(25)),
    "gamma and zeta": r"\Gamma(10^{15}) \zeta(10^{15})",
    "modulus": r"10^{10^{10}} \mod 7",
    "greatest divisor": r"\gcd(2^{10^9}-1, 3^{10^9}-1)",
    "logarithm tower": r"\log(\log(9^{9^{9^9}}))",
    "code": r"__import__('os').system('touch INJECTED')",
    "code in text": r"\text{__import__('os').system('touch INJECTED')}",
    "code as function": r"\operatorname{exec}(\text{import os; os.system('touch INJECTED')})",
    "lambda": r"(lambda: open('INJECTED', 'w'))()",
}  # fmt: skip
HUNGRY = ("tower in a fraction", "expansion", "greatest divisor", "huge matrix")  # under the limits as users have them


def boxed(answer: str) -> str:
    return rf"So \boxed{{{answer}}}."


def resident_peak_bytes(process_id: int) -> int:
    """The most memory that a process ever had resident; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def workers() -> list[worker_pool.Worker]:
    return list(worker_pool.pool()._all)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answer_is_not_correct_and_costs_little(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name not in HUNGRY:
        monkeypatch.setattr(worker_pool, "CPU_LIMIT_S", 0.3)
        monkeypatch.setattr(worker_pool, "WALL_LIMIT_S", 2.0)
    check_answer(boxed(r"\sqrt{3}"), r"\sqrt{2}")  # a worker is up: its start is no answer's cost
    peaks, done = [0], threading.Event()
    watch = threading.Thread(target=_watch_memory, args=(peaks, done))
    watch.start()
    start_s = _processor_time()
    verdict = check_answer(boxed(HOSTILE[name]), r"\frac{\sqrt{7}}{3}")
    cost_s = _processor_time() - start_s
    done.set()
    watch.join()
    print(f"{verdict.value}: {cost_s:.2f} s, {max(peaks) / 1e6:.0f} MB")
    assert verdict in (Verdict.incorrect, Verdict.timeout, Verdict.error)
    assert cost_s < 10 and max(peaks) < 1e9  # seconds: hours without limits
    assert list(tmp_path.iterdir()) == []


def _processor_time() -> float:
    """Seconds that workers have computed, ended ones and others. Not the clock, which other processes share."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen = [worker_pool._activity(worker.process.pid) for worker in workers()]
    return ended.ru_utime + ended.ru_stime + sum(each.ticks for each in seen if each) / os.sysconf("SC_CLK_TCK")


def _watch_memory(peaks: list[int], done: threading.Event) -> None:
    while not done.wait(0.02):
        peaks.extend(resident_peak_bytes(worker.process.pid) for worker in workers())


def test_long_hostile_responses_stay_out_of_the_workers() -> None:
    start_s = time.monotonic()
    for response in (boxed("9") * 110_000 + "0", boxed("(" * 500_000), boxed("x" * 10_000_000), "\ud800\0" * 10**6):
        assert check_answer(response, "5") in (Verdict.incorrect, Verdict.no_answer)
    assert time.monotonic() - start_s < 10


def test_a_question_of_hostile_answers_is_bounded_and_honest_ones_are_still_judged(monkeypatch) -> None:
    monkeypatch.setattr(worker_pool, "CPU_LIMIT_S", 0.5)
    answers = [STUCK, "(10^{9}+1)!", "5", r"\sqrt{25}", "6", r"9^{9^{9^9}}"]
    found = judge_responses([boxed(answer) for answer in answers], "5", "math")
    assert found.verdicts[2:5] == [Verdict.correct, Verdict.correct, Verdict.incorrect]
    assert found.verdicts[:2] == [Verdict.timeout] * 2
    assert found.groups[0] != found.groups[1] and found.groups[2] == found.groups[3] != found.groups[4]


def test_number_of_workers_does_not_grow_and_none_is_left_a_zombie() -> None:
    pool = worker_pool.pool()
    for _ in range(3):
        judge_responses([boxed(rf"\sqrt{{{number}}}") for number in range(2, 20)], r"\sqrt{99}", "math")
    check_answer(boxed(STUCK), "5")
    children = _children(os.getpid())
    assert 1 <= len(workers()) <= pool.size
    assert all(_state(child) != "Z" for child in children)
    assert sum("answers/worker.py" in _shown(child, "args") for child in children) <= pool.size


def _children(process_id: int) -> list[int]:
    shown = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in shown.splitlines()]
    return [int(pid) for pid, parent, args in rows if int(parent) == process_id and "ps -eo" not in args]


def _state(process_id: int) -> str:
    return _shown(process_id, "stat")[:1]


def _shown(process_id: int, column: str) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(process_id)]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_an_idle_worker_that_dies_is_replaced() -> None:
    assert check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}") is Verdict.correct
    for worker in workers():
        os.kill(worker.process.pid, signal.SIGKILL)
    assert check_answer(boxed(r"\sqrt{18}"), r"3\sqrt{2}") is Verdict.correct


@pytest.mark.parametrize(("kills", "verdict"), [(1, Verdict.timeout), (3, Verdict.error)])
def test_a_job_whose_worker_is_killed_is_done_again(kills, verdict) -> None:
    verdicts: list[Verdict] = []
    check_answer(boxed(r"\sqrt{3}"), r"\sqrt{2}")
    asking = threading.Thread(target=lambda: verdicts.append(check_answer(boxed(STUCK), "5")))
    asking.start()
    for _ in range(kills):
        killed = _working()
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
    asking.join()
    assert verdicts == [verdict]
    assert check_answer(boxed(r"\sqrt{18}"), r"3\sqrt{2}") is Verdict.correct


def _working() -> worker_pool.Worker:
    """Wait for a worker that has begun to compute, and return it."""
    deadline, first = time.monotonic() + 30, {}
    while time.monotonic() < deadline:
        for worker in workers():
            seen = worker_pool._activity(worker.process.pid) if worker.alive else None
            if seen and seen.ticks > first.setdefault(worker, seen.ticks) + 20:
                return worker
        time.sleep(0.02)
    raise AssertionError("no worker began")


def test_an_interrupted_question_leaves_no_reply_for_the_next_one(monkeypatch) -> None:
    check_answer(boxed(r"\sqrt{3}"), r"\sqrt{2}")
    with monkeypatch.context() as patch:
        patch.setattr(worker_pool.Worker, "_receive", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}")
    assert check_answer(boxed(r"\sqrt{12}"), r"2\sqrt{2}") is Verdict.incorrect


def _interrupt(worker: worker_pool.Worker, limit_s: float) -> None:
    raise KeyboardInterrupt


def test_several_threads_share_the_workers() -> None:
    verdicts: list[Verdict] = []

    def ask(number: int) -> None:
        verdicts.append(check_answer(boxed(rf"\sqrt{{{4 * number}}}"), rf"2\sqrt{{{number}}}"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [Verdict.correct] * 8
    assert len(workers()) <= worker_pool.pool().size


def test_a_worker_that_cannot_start_is_an_error_that_names_the_cause(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no grader here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        InputError, match=r"ImportError: no grader here.*is math-verify installed\?.*store=FILE.*goes on"
    ):
        worker_pool.Worker()


def test_a_worker_killed_while_it_starts_is_replaced(monkeypatch) -> None:
    worker_pool.pool().end()
    with monkeypatch.context() as patch:
        patch.setattr(worker_pool.Worker, "_wait_until_ready", _killed_at_start([True, True, False]))
        assert check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}") is Verdict.correct


def test_workers_that_never_start_end_the_judging_with_a_way_out(monkeypatch) -> None:
    worker_pool.pool().end()
    with monkeypatch.context() as patch:
        patch.setattr(worker_pool.Worker, "_wait_until_ready", _killed_at_start([True] * 9))
        with pytest.raises(
            InputError, match=r"ends while it starts \(exit status -9\); responses in a store .* goes on"
        ):
            check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}")
        with pytest.raises(InputError, match="exit status -9"):  # not reported as what is wrong with a gold answer
            check_golds([r"2\sqrt{2}"])
    assert check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}") is Verdict.correct


def _killed_at_start(which: list[bool]):
    start, killed = worker_pool.Worker._wait_until_ready, iter(which)

    def wait(worker: worker_pool.Worker) -> None:
        if next(killed):
            worker.process.kill()
        start(worker)

    return wait


@pytest.mark.parametrize(
    "problem", [OSError(errno.EMFILE, "Too many open files"), BlockingIOError(errno.EAGAIN, "no more")]
)
def test_no_descriptors_or_processes_left_is_one_sentence(problem: OSError, monkeypatch) -> None:
    def popen(*args, **options):
        raise problem

    worker_pool.pool().end()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", popen)
        with pytest.raises(InputError, match=f"cannot be started .*{problem.strerror}.*store=FILE"):
            check_answer(boxed(r"\sqrt{8}"), r"2\sqrt{2}")


def test_few_descriptors_are_enough() -> None:
    code = """
        import os, resource
        from sprint_lmeval.answers.verdicts import check_answer
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        print(check_answer(r"\\boxed{\\sqrt{8}}", r"2\\sqrt{2}").value)
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        print(check_answer(r"\\boxed{\\sqrt{12}}", r"2\\sqrt{3}").value)
    """
    assert _run([sys.executable, "-c", textwrap.dedent(code)]) == "correct\ncorrect"


def test_a_stopped_worker_costs_no_verdict(monkeypatch) -> None:
    check_answer(boxed(r"\sqrt{3}"), r"\sqrt{2}")
    monkeypatch.setattr(worker_pool, "WALL_LIMIT_S", 1.0)
    for worker in workers():
        os.kill(worker.process.pid, signal.SIGSTOP)
    assert check_answer(boxed(r"\sqrt{20}"), r"2\sqrt{5}") is Verdict.correct


def test_a_worker_that_waits_for_a_processor_does_not_stand_still(monkeypatch) -> None:
    """A stopped worker stands for one that gets no processor; it is the one that answers in the end."""
    check_answer(boxed(r"\sqrt{3}"), r"\sqrt{2}")
    monkeypatch.setattr(worker_pool, "WALL_LIMIT_S", 0.5)
    monkeypatch.setattr(worker_pool, "_activity", lambda process_id: worker_pool._Activity(0, runnable=True))
    waiting = workers()
    for worker in waiting:
        os.kill(worker.process.pid, signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (worker.process.pid, signal.SIGCONT)).start()
    assert check_answer(boxed(r"\sqrt{20}"), r"2\sqrt{5}") is Verdict.correct
    assert set(waiting) == set(workers())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process does")
def test_what_a_process_does_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(1)
        seen = [worker_pool._activity(busy.pid).runnable for _ in range(20)]
        busy.kill()
    assert any(seen) and not worker_pool._activity(busy.pid)


def test_a_paused_job_loses_no_verdict() -> None:
    """The whole process group is stopped for longer than the limit of waiting, several times."""
    code = """
        from sprint_lmeval.answers import worker_pool
        from sprint_lmeval.answers.verdicts import check_answer
        check_answer(r"\\boxed{\\sqrt{8}}", r"2\\sqrt{2}")
        worker_pool.WALL_LIMIT_S = 1.0
        print("begun", flush=True)
        print({check_answer(rf"\\boxed{{\\sqrt{{{4 * n}}}}}", rf"2\\sqrt{{{n}}}").value for n in range(2, 60)})
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(), start_new_session=True)
    assert job.stdout.readline() == "begun\n"
    for _ in range(3):
        os.killpg(job.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.killpg(job.pid, signal.SIGCONT)
        time.sleep(0.2)
    assert job.communicate(timeout=90)[0] == "{'correct'}\n"


def test_memory_is_watched_where_the_system_keeps_no_limit(monkeypatch) -> None:
    monkeypatch.setattr(worker_pool, "_WATCHES_MEMORY", True)
    monkeypatch.setattr(worker_pool, "MEMORY_LIMIT", 1000)
    worker = worker_pool.Worker.__new__(worker_pool.Worker)
    worker.process = subprocess.Popen(["sleep", "30"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    worker.received = b""
    assert worker.run({"answer": "5"}) == {"died": -signal.SIGKILL, "too_large": True}


SCRIPT = r"""
    from sprint_lmeval.answers.verdicts import check_answer
    print("body")
    print(check_answer(r"\boxed{\sqrt{8}}", r"2\sqrt{2}").value, check_answer(r"\boxed{\sqrt{8}}", r"3\sqrt{2}").value)
"""
ASYNC = r"""
    import asyncio, threading
    from sprint_lmeval.answers.verdicts import check_answer
    print("body")
    async def cell():
        return check_answer(r"\boxed{\sqrt{8}}", r"2\sqrt{2}"), check_answer(r"\boxed{\sqrt{8}}", r"3\sqrt{2}")
    def kernel():
        print(*[verdict.value for verdict in asyncio.run(cell())])
    thread = threading.Thread(target=kernel)
    thread.start()
    thread.join()
"""
TORCH = r"""
    import torch
    torch.set_num_threads(2)
    (torch.ones(600, 600) @ torch.ones(600, 600)).sum().item()
    import os
    os.register_at_fork(before=lambda: print("forked"))
    from sprint_lmeval.answers.verdicts import check_answer
    print("body")
    print(check_answer(r"\boxed{\sqrt{8}}", r"2\sqrt{2}").value, check_answer(r"\boxed{\sqrt{8}}", r"3\sqrt{2}").value)
    (torch.ones(600, 600) @ torch.ones(600, 600)).sum().item()
"""
FORK = r"""
    import os
    from sprint_lmeval.answers.verdicts import check_answer
    print("body", flush=True)
    first = check_answer(r"\boxed{\sqrt{8}}", r"2\sqrt{2}")
    child = os.fork()
    if child == 0:
        own = [check_answer(rf"\boxed{{\sqrt{{{4 * n}}}}}", rf"2\sqrt{{{n}}}").value for n in (2, 3, 5)]
        os._exit(0 if own == ["correct"] * 3 else 1)
    ours = [check_answer(rf"\boxed{{\sqrt{{{9 * n}}}}}", rf"2\sqrt{{{n}}}").value for n in (2, 3, 5)]
    assert os.waitpid(child, 0)[1] == 0 and ours == ["incorrect"] * 3
    print(first.value, check_answer(r"\boxed{\sqrt{8}}", r"3\sqrt{2}").value)
"""


@pytest.mark.parametrize("code", [SCRIPT, ASYNC, TORCH, FORK], ids=["unguarded", "notebook", "torch threads", "forks"])
def test_asked_from_a_script(code: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    assert _run([sys.executable, str(script)]) == "body\ncorrect incorrect"


def test_asked_from_the_command_line_and_from_standard_input() -> None:
    code = textwrap.dedent(SCRIPT)
    assert _run([sys.executable, "-c", code]) == "body\ncorrect incorrect"
    assert _run([sys.executable, "-"], code) == "body\ncorrect incorrect"


def test_two_processes_at_a_time() -> None:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["body\ncorrect incorrect\n"] * 2


@pytest.mark.parametrize("end", ["exit", "SIGTERM", "SIGHUP", "SIGKILL"])
@pytest.mark.parametrize("worker", ["idle", "at work", "starting"])
def test_workers_end_with_their_parent(worker: str, end: str) -> None:
    code = f"""
        import os, psutil, signal, sys, threading, time
        from sprint_lmeval.answers import worker_pool
        from sprint_lmeval.answers.verdicts import check_answer
        worker_pool.CPU_LIMIT_S = 1000.0
        if {worker != "starting"}:
            check_answer(r"\\boxed{{\\sqrt{{8}}}}", r"2\\sqrt{{2}}")
        if {worker != "idle"}:
            threading.Thread(target=check_answer, args=({boxed(STUCK)!r}, "5"), daemon=True).start()
            time.sleep(0.3)
        children = psutil.Process().children()
        print(*(child.pid for child in children if "worker.py" in " ".join(child.cmdline())), sep="\\n", flush=True)
        os.kill(os.getpid(), signal.{end}) if {end != "exit"} else os._exit(0)
    """
    shown = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=90,
                           env=_environment()).stdout  # fmt: skip
    left = [int(line.split()[0]) for line in shown.splitlines()]
    assert left
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        left = [process_id for process_id in left if _state(process_id) not in ("", "Z")]
        time.sleep(0.1)
    for process_id in left:
        os.kill(process_id, signal.SIGKILL)
    assert left == []


def test_a_large_parent_does_not_wear_its_workers_out() -> None:
    """The parent holds a model: its workers must not take that memory for theirs and be replaced after each job."""
    code = """
        from sprint_lmeval.answers import worker_pool
        from sprint_lmeval.answers.verdicts import check_answer
        held = bytearray(b"x" * 700_000_000)
        seen = set()
        for number in range(2, 8):
            check_answer(rf"\\boxed{{\\sqrt{{{number}}}}}", r"\\sqrt{99}")
            seen |= {worker.process.pid for worker in worker_pool.pool()._all}
        print(1 <= len(seen) <= worker_pool.pool().size)
    """
    assert _run([sys.executable, "-c", textwrap.dedent(code)]) == "True"


def test_what_a_grader_prints_does_not_reach_the_replies() -> None:
    code = """
        import json, sys
        from sprint_lmeval.answers import symbolic, worker
        symbolic.same_answer = lambda gold, answer: print("noise") or sys.stdout.flush() or True
        worker.main()
    """
    job = json.dumps({"gold": "1", "answer": "2"}) + "\n"
    lines = _run([sys.executable, "-c", textwrap.dedent(code)], job).splitlines()
    assert [json.loads(line) for line in lines] == [{"ready": True}, {"begun": True}, {"same": True, "retire": False}]


def _run(command: list[str], text: str = "") -> str:
    shown = subprocess.run(command, input=text, capture_output=True, text=True, timeout=90, env=_environment())
    assert shown.returncode in (0, -signal.SIGKILL), shown.stderr
    return shown.stdout.strip()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "SPRINT_LMEVAL_AUTOLOAD": "0"}
