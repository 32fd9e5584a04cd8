"""Runs a GoogleTest program to the end of its tests, also past one that crashes, and counts."""

import re
import time

from paced import ending, run

LINE = re.compile(r"^\[\s*(RUN|OK|FAILED|SKIPPED)\s*\] (\S+?)(?:, where .*)?(?: \((\d+) ms\))?$")
ENDED = re.compile(r"^\[==========\] \d+ tests? from .* ran\.", re.MULTILINE)
MOST_RESTARTS = 5


def read(output):
    """@return {test: "ok" | "failed" | "skipped" | "running"} in their order, and whether the program got to its end"""
    results, body = {}, output
    if match := ENDED.search(output):
        body = output[: match.start()]  # what follows lists them once more
    for line in body.splitlines():
        if match := LINE.match(line.strip()):
            word, name = match[1], match[2].rstrip(",")
            results[name] = {"RUN": "running", "OK": "ok"}.get(word, word.lower())
    return results, bool(ENDED.search(output))


def reasons(output):
    """First words of each failure and skip, for the table."""
    found = re.findall(r": (?:Failure|Skipped)\n(.+)", output)
    return list(dict.fromkeys(line.strip()[:300] for line in found))


def counts(results):
    count = {"ok": 0, "failed": 0, "skipped": 0, "crashed": 0, "timed out": 0}
    for result in results.values():
        count[result] = count.get(result, 0) + 1
    return {k: v for k, v in count.items() if v or k == "ok"}


def run_tests(program, pattern, seconds, environment, log):
    """@param log  takes text
    @return {"tests": counts, "failed": names, "why": [first words], "listed": all results}"""
    end, results, why, restarts = time.monotonic() + seconds, {}, [], 0
    while True:
        positive, _, negative = pattern.partition("-")
        excluded = ":".join(filter(None, [negative, *results]))
        filter_words = f"{positive or '*'}" + (f"-{excluded}" if excluded else "")
        left = end - time.monotonic()
        code, output, errors = run(
            [program, f"--gtest_filter={filter_words}", "--gtest_color=no"], left, environment
        )
        log(output + errors)
        found, ended = read(output)
        why += reasons(output)
        running = [name for name, result in found.items() if result == "running"]
        for name in running:
            found[name] = "timed out" if code is None else "crashed"
        results.update(found)
        if code is None:
            why.append(f"no end within {seconds:.0f} s")
        elif not ended:
            said = (errors.strip().splitlines() or ["it said nothing"])[-1][:200]
            why.append(f"{ending(code)}{' in ' + running[0] if running else ''}: {said}")
        restarts += 1
        if ended or code is None or not found or restarts > MOST_RESTARTS:
            break
    bad = [name for name, result in results.items() if result not in ("ok", "skipped")]
    if not results or (not ended and not bad):
        bad = bad or [str(program)]
    return {"tests": counts(results), "failed": bad, "why": why, "listed": results}
