#!/usr/bin/env python3
"""tools/gpu_check, tools/gpu_bundle and the arithmetic of the GPU benchmark, without a GPU.

Figures here are invented (pretended_gpu.py): they show that tools run and tables add up, no more.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("PACELINE_BUILD", ROOT / "build/release"))
sys.path[:0] = [str(ROOT / "tools/gpu"), str(HERE)]
import gtest  # noqa: E402
import paced  # noqa: E402
import pretended_gpu  # noqa: E402
import ratios  # noqa: E402
import steps  # noqa: E402
import surroundings  # noqa: E402


def run_tool(*words, environment=None):
    words = [sys.executable, *(str(word) for word in words)]
    return subprocess.run(words, capture_output=True, text=True, timeout=200, env=environment)


class WithFolder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)


class GpuCheck(WithFolder):
    def check(self, *words, environment=None):
        out = self.folder / "out"
        done = run_tool(ROOT / "tools/gpu_check", "--out", out, *words, environment=environment)
        self.assertEqual({f.name for f in out.iterdir()}, {"gpu_check.json", "gpu.md", "gpu_check.log"}, done.stderr)
        result = json.loads((out / "gpu_check.json").read_text())
        return done, result, {step["step"]: step for step in result["steps"]}

    @unittest.skipIf(surroundings.gpu()[0], "there is a GPU here")
    @unittest.skipUnless((BUILD / "bin/paceline").exists(), "paceline is not built")
    def test_without_a_gpu_every_step_that_needs_one_says_so(self):
        done, result, by_name = self.check("--bundle", BUILD)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertEqual(result["status"], 3)
        self.assertEqual(by_name["paceline doctor"]["result"], "ok")
        for name, step in by_name.items():
            if name != "paceline doctor":
                self.assertEqual(step["result"], "skipped", step)
                self.assertIn("no GPU (", step["figure"])
        self.assertIn("| benchmark | skipped |", (self.folder / "out/gpu.md").read_text())

    def test_on_a_pretended_gpu_every_step_runs_and_adds_up(self):
        bundle, python, environment = pretended_gpu.make(self.folder)
        done, result, by_name = self.check("--bundle", bundle, "--python", python, "--seconds", "300",
                                           environment=environment)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(by_name.pop("other tests")["result"], "skipped")
        self.assertEqual({step["result"] for step in by_name.values()}, {"ok"}, by_name)
        self.assertEqual(by_name["kernels"]["figure"], "2 ok, 1 skipped")
        self.assertEqual(by_name["compute-sanitizer"]["facts"], {"errors": {"bf16": 0, "f32": 0}})
        benchmark = result["facts"]["benchmark"]
        rows = {row["what"]: row for row in benchmark["rows"]}
        self.assertAlmostEqual(rows["resnet20"]["ratio"], 2)
        self.assertAlmostEqual(rows["resnet20"]["over_eager"], 5)
        self.assertEqual(rows["resnet50"]["best_is"], "compile default")
        self.assertAlmostEqual(rows["four LSGD workers, resnet20, tau 4"]["ratio"], 1.8)
        self.assertTrue(any("reduce-overhead left out" in note for note in benchmark["left_out"]))
        self.assertIn("| resnet20 | 128,000 |", (self.folder / "out/gpu.md").read_text())

    def test_a_test_that_crashes_is_named_and_stops_nothing(self):
        bundle, python, environment = pretended_gpu.make(self.folder, crashing=True)
        done, _, by_name = self.check("--bundle", bundle, "--python", python, "--quick", "--seconds", "150",
                                      environment=environment)  # fmt: skip
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        crashed = by_name["convolutions and linear layers"]
        self.assertEqual(crashed["result"], "failed")
        self.assertIn("Suite/Rows.Second/cuda_f32: ended by SIGABRT", crashed["figure"])
        self.assertIn("1 ok, 1 skipped, 1 crashed", crashed["figure"])
        self.assertEqual(by_name["kernels"]["result"], "ok")
        self.assertEqual(by_name["compute-sanitizer"]["figure"], "--quick")
        self.assertEqual(by_name["benchmark"]["result"], "ok")

    def test_a_mistake_is_one_line(self):
        for words, says in ((("--bundle", self.folder), "tools/gpu_bundle"), (("--data", "/none"), "no such folder")):
            if says == "no such folder" and not (ROOT / "build/release/bin/paceline").exists():
                continue
            done = run_tool(ROOT / "tools/gpu_check", *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


class GpuBundle(WithFolder):
    def test_without_a_backend_it_says_how_to_get_one(self):
        pretended_gpu.write(self.folder / "bin/paceline", "#!/bin/sh\n")
        done = run_tool(ROOT / "tools/gpu_bundle", "--build", self.folder, "--out", self.folder / "out")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nvcc and cuDNN", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    @unittest.skipUnless((BUILD / "bin/paceline").exists(), "paceline is not built")
    def test_what_it_packs_runs_elsewhere(self):
        out = self.folder / "out"
        done = run_tool(ROOT / "tools/gpu_bundle", "--build", BUILD, "--out", out, "--without-backend")
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest = json.loads((out / "manifest.json").read_text())
        self.assertIn("libcaf_core", " ".join(manifest["libraries"]))
        self.assertNotIn("libc.so.6", manifest["libraries"])
        bundle = surroundings.Bundle(out, self.folder / "programs")
        environment = {"LD_LIBRARY_PATH": bundle.loader_path([])}
        code, output, _ = paced.run([bundle.paceline, "--version"], 20, environment)
        self.assertEqual((code, output.split()[0]), (0, "paceline"))
        done = run_tool(out / "tools/gpu_check", "--help")
        self.assertIn("Exit status", done.stdout)


class Ratios(unittest.TestCase):
    RACES = {"vgg16": {"paceline": [90, 110, 100], "pytorch": {"eager": [40, 50], "compile default": [80, 100]}}}

    def test_the_best_variant_counts_and_demands_are_compared(self):
        (row,) = ratios.ratio_rows(self.RACES)
        self.assertEqual((row["best_is"], row["best"], row["eager"]), ("compile default", 90, 45))
        self.assertTrue(row["met"])
        slower = {"vgg16": {"paceline": [98], "pytorch": {"eager": [90]}}}
        self.assertFalse(ratios.ratio_rows(slower)[0]["met"])  # 1.09

    def test_without_pytorch_nothing_is_met(self):
        (row,) = ratios.ratio_rows({"resnet20": {"paceline": [5], "pytorch": {"eager": []}}})
        self.assertIsNone(row["met"])
        self.assertIn("not known", ratios.markdown([row], ["why"]))

    def test_workers_need_speed_and_little_coordination(self):
        def crews(four, fraction):
            return {1: {"images_per_second": 100.0, "coordination_fraction": 0.0},
                    4: {"images_per_second": four, "coordination_fraction": fraction}}  # fmt: skip

        self.assertTrue(ratios.workers_row(crews(150.0, 0.009))["met"])
        self.assertFalse(ratios.workers_row(crews(149.0, 0.001))["met"])
        self.assertFalse(ratios.workers_row(crews(300.0, 0.011))["met"])
        self.assertFalse(ratios.workers_row(crews(300.0, None))["met"])


class Programs(WithFolder):
    def test_gtest_output_with_parameters_is_read(self):
        output = ("[ RUN      ] A/B.C/d\n[  FAILED  ] A/B.C/d, where GetParam() = (x, \"y\") (12 ms)\n"
                  "[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[ RUN      ] A.Last\n")  # fmt: skip
        results, ended = gtest.read(output)
        self.assertEqual(results, {"A/B.C/d": "failed", "A.B": "ok", "A.Last": "running"})
        self.assertFalse(ended)

    def test_a_program_that_does_not_end_is_ended_with_its_children(self):
        code, output, _ = paced.run(["sh", "-c", "echo begun; sleep 100 & sleep 100"], 0.5)
        self.assertEqual((code, output), (None, "begun\n"))

    def test_an_answer_that_does_not_come_is_an_error(self):
        program = paced.Talking(["sh", "-c", "sleep 100"])
        with self.assertRaisesRegex(paced.TalkError, "no answer within"):
            program.ask({}, 0.2)
        self.assertFalse(program.alive())

    def test_an_end_instead_of_an_answer_is_named(self):
        with self.assertRaisesRegex(paced.TalkError, "exit code 7|ended"):
            paced.Talking(["sh", "-c", "exit 7"]).answer(5)
        with self.assertRaisesRegex(paced.TalkError, "exit code 3: why"):
            paced.run_json(["sh", "-c", "echo why >&2; exit 3"], 5)

    def test_steps_go_on_after_mistakes_and_end_with_the_budget(self):
        def skip(_):
            raise steps.Skip("no GPU")

        with open(self.folder / "log", "w") as log:
            all_steps = steps.Steps(60, log, say=lambda text: None)
            all_steps.step("ours", 5, lambda seconds: 1 / 0)
            all_steps.step("skips", 5, skip)
            all_steps.step("late", 5, lambda seconds: ("", {}), reserve=1000)
        results = [(step["result"], step["figure"]) for step in all_steps.done]
        self.assertEqual(results[0][0], "failed")
        self.assertIn("division", results[0][1])
        self.assertEqual(results[1:], [("skipped", "no GPU"), ("skipped", "no time left")])
        self.assertEqual(steps.exit_status(all_steps.done, ["skips"]), 1)
        self.assertEqual(steps.exit_status(all_steps.done[1:], ["skips"]), 3)
        self.assertIn("no GPU", steps.text_table(all_steps.done))

    def test_libraries_are_found_in_wheels(self):
        wheel = self.folder / "nvidia/cudnn/lib"
        wheel.mkdir(parents=True)
        (wheel / "libcudnn.so.9").touch()
        found = surroundings.providers([str(self.folder), str(wheel)], ["libcudnn.so.9", "libcublasLt.so.13"])
        self.assertEqual(found, {"libcudnn.so.9": str(wheel), "libcublasLt.so.13": None})


if __name__ == "__main__":
    unittest.main()
