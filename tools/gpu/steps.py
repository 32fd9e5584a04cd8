"""The steps of tools/gpu_check, one after another within one budget; none stops the next."""

import concurrent.futures
import threading
import time
import traceback

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


class Skip(Exception):
    """A step that cannot be done here; says why."""


class Failure(Exception):
    """A step that went wrong, in one line; `facts` are kept."""

    def __init__(self, message, **facts):
        super().__init__(message)
        self.facts = facts


class Steps:
    """@param seconds  for all. @param log  a file that takes everything that the steps' programs print"""

    def __init__(self, seconds, log, say=print):
        self.start, self.end, self.log, self.say = time.monotonic(), time.monotonic() + seconds, log, say
        self.done, self.lock = [], threading.Lock()

    def used(self):
        return time.monotonic() - self.start

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def write(self, text):
        with self.lock:
            self.log.write(text if text.endswith("\n") or not text else text + "\n")
            self.log.flush()

    def step(self, name, limit, work, reserve=0.0, least=5.0):
        """Runs work(seconds), which returns (figure, facts), or raises Skip or Failure.
        @param limit    seconds that it may take
        @param reserve  seconds that are kept for what comes after it
        @param least    seconds below which it is not begun"""
        return self.together([(name, work)], limit, reserve, least)[0]

    def together(self, works, limit, reserve=0.0, least=5.0):
        """The same of several (name, work) side by side; recorded in the order given."""
        seconds = min(limit, self.left() - reserve)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            entries = pool.map(lambda work: self.execute(*work, seconds, least), works)
            for entry in entries:
                self.done.append(entry)
                self.say(f"{entry['seconds']:6.1f} s  {entry['result']:8}{entry['step']}: {entry['figure']}")
        return self.done[-len(works) :]

    def execute(self, name, work, seconds, least):
        self.write(f"\n===== {name}: begins\n")
        begin, facts = time.monotonic(), {}
        try:
            if seconds < least:
                raise Skip("no time left")
            figure, facts = work(seconds)
            result = OK
        except Skip as skip:
            result, figure = SKIPPED, str(skip)
        except Failure as failure:
            result, figure, facts = FAILED, str(failure), failure.facts
        except Exception as error:  # a mistake of ours must not keep the others from running
            self.write(traceback.format_exc())
            result, figure = FAILED, f"{type(error).__name__}: {error}"
        self.write(f"===== {name}: {result}: {figure}\n")
        return {"step": name, "result": result, "seconds": round(time.monotonic() - begin, 1),
                "figure": figure, **({"facts": facts} if facts else {})}  # fmt: skip


def exit_status(steps, checked):
    """0: nothing failed; 1: something did; 3: nothing that needs the GPU could be checked.
    @param checked  names of the steps that need the GPU"""
    if any(step["result"] == FAILED for step in steps):
        return 1
    if not any(step["result"] == OK for step in steps if step["step"] in checked):
        return 3
    return 0


def text_table(steps):
    width = max(len(step["step"]) for step in steps)
    lines = [f"{'step':{width}}  result   seconds  figure", "-" * (width + 60)]
    for step in steps:
        lines.append(f"{step['step']:{width}}  {step['result']:8} {step['seconds']:6.1f}  {step['figure']}")
    return "\n".join(lines) + "\n"
