"""What the GPU's checks and benchmarks run on: a clock that says what is left, and programs that
are run or talked to, line by line, with a deadline for each answer."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time


class TalkError(Exception):
    """A program that did not do what was asked, in one line."""


class Clock:
    def __init__(self, seconds):
        self.start, self.end = time.monotonic(), time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def used(self):
        return time.monotonic() - self.start

    def part(self, share):
        """A clock of a share of what is left."""
        return Clock(self.left() * share)


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def ending(code):
    """An exit code, in words."""
    if code is None:
        return "still running"
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"exit code {code}"


def stop(process):
    """The whole session of a process that leads one."""
    for number in signal.SIGTERM, signal.SIGKILL:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(3)
            return
        except subprocess.TimeoutExpired:
            continue


def run(words, seconds, environment=None, folder=None):
    """@return exit code (None: not at an end within `seconds`, killed), standard output, standard error"""
    try:
        process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment, cwd=folder, start_new_session=True,
            text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        return 127, "", f"{words[0]}: {error.strerror}"
    try:
        output, errors = process.communicate(timeout=max(0.1, seconds))
        return process.returncode, output, errors
    except subprocess.TimeoutExpired:
        stop(process)
        output, errors = process.communicate()
        return None, output, errors


def run_json(words, seconds, environment=None):
    """What a program prints as one object (the last line, or all of it)."""
    code, output, errors = run(words, seconds, environment)
    if code != 0:
        why = f"no end within {seconds:.0f} s" if code is None else ending(code)
        raise TalkError(f"{why}: {last_line(errors or output)}")
    for text in output, last_line(output):
        try:
            return json.loads(text)
        except ValueError:
            continue
    raise TalkError(f"no JSON: {last_line(output)}")


def figures_of(summary):
    """Those of `paceline train --json` that count here."""
    names = ("images_per_second", "coordination_fraction", "test_error_leader", "steps")
    return {name: summary.get(name) for name in names}


class Talking:
    """A program that answers each line with a line of JSON."""

    def __init__(self, words, environment=None):
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise TalkError(f"{words[0]}: {error.strerror}") from error
        self.read = b""

    def alive(self):
        return self.process.poll() is None

    def answer(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.read:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            if not ready:
                self.close(hard=True)
                raise TalkError(f"no answer within {seconds:.0f} s")
            block = os.read(self.process.stdout.fileno(), 1 << 16)
            if not block:
                code = self.process.wait()
                self.close()
                raise TalkError(ending(code))
            self.read += block
        line, self.read = self.read.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise TalkError(f"no JSON: {line[:100]!r}") from error

    def ask(self, request, seconds):
        line = request if isinstance(request, str) else json.dumps(request)
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise TalkError(ending(self.process.poll())) from error
        return self.answer(seconds)

    def close(self, hard=False):
        if not hard and self.alive():
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                hard = True
        if hard and self.alive():
            stop(self.process)
        for pipe in self.process.stdin, self.process.stdout:
            with contextlib.suppress(OSError):
                pipe.close()
