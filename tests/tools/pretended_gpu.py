"""A machine with a GPU that there is not, for the tests of tools/gpu_check: programs that say what
the real ones would say, with invented figures. Nothing here is a measurement."""

import os
import pathlib

PACELINE = '''#!/usr/bin/python3
import json, sys
words = sys.argv[1:]
after = lambda name, usual: words[words.index(name) + 1] if name in words else usual
if words == ["--version"]:
    print("paceline pretended")
elif words == ["doctor"]:
    print("ok    processor         pretended\\nok    device cuda       pretended GPU, 132 multiprocessors")
elif words[0] == "train":
    assert after("--device", "") == "cuda" and after("--precision", "") in ("f32", "tf32", "bf16")
    workers = int(after("--workers", "1"))
    print(json.dumps({"images_per_second": 1000.0 if workers == 1 else 1800.0, "steps": 7,
                      "coordination_fraction": 0.002, "test_error_leader": 0.5}, indent=2))
elif words[:2] == ["bench", "step"]:
    assert after("--device", "") == "cuda"
    print(json.dumps({"network": after("--network", "")}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": [0.001] * int(after("--on-request", "1"))}), flush=True)
'''
PYTHON = '''#!/usr/bin/python3
import json, sys, time
if sys.argv[1] == "-c":
    print(json.dumps({"version": "2.pretended", "cuda": "13.0"} if "torch" in sys.argv[2] else []))
elif sys.argv[2:] == ["facts"]:
    print(json.dumps({"version": "2.pretended", "can_compile": True}))
else:
    pace = {"eager": 0.005, "compile reduce-overhead": 0.002, "compile default": 0.003}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("warm") == "compile reduce-overhead" and sys.argv[2] == "vgg16":
            told = {"error": "RuntimeError: pretended"}
        elif "warm" in asked:
            told = {"warm": asked["warm"], "seconds": 0.0}
        else:
            told = {"seconds": asked["steps"] * pace[asked["variant"]]}
        print(json.dumps(told), flush=True)
'''
# As GoogleTest prints; three tests, the second of which may crash the program.
TESTS = '''#!/usr/bin/python3
import os, sys
crashing = {crashing}
pattern = next(w for w in sys.argv if w.startswith("--gtest_filter="))[15:]
excluded = pattern.partition("-")[2].split(":")
names = [n for n in ("Suite/Rows.First/cuda_f32", "Suite/Rows.Second/cuda_f32", "Rows.Third") if n not in excluded]
print(f"[==========] Running {{len(names)}} tests from 2 test suites.")
for name in names:
    print(f"[ RUN      ] {{name}}", flush=True)
    if crashing and "Second" in name:
        os.abort()
    if "Third" in name:
        print("x.cc:1: Skipped\\nno second GPU\\n[  SKIPPED ] Rows.Third (0 ms)")
    else:
        print(f"[       OK ] {{name}} (3 ms)")
print(f"\\n[==========] {{len(names)}} tests from 2 test suites ran. (9 ms total)\\n[  PASSED  ] 1 test.")
print("[  SKIPPED ] 1 test, listed below:\\n[  SKIPPED ] Rows.Third")
'''
SMI = "#!/bin/sh\necho 'Pretended GPU, 1.2.3, 81920 MiB, 9.0, 1980 MHz, 700 W, Disabled, 0 %'\n"
SANITIZER = '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift 2; done\n"$@"\necho "========= ERROR SUMMARY: 0 errors"\n'


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(folder, crashing=False):
    """@return a bundle's folder, a Python, and the environment in which gpu_check finds the rest"""
    folder = pathlib.Path(folder)
    write(folder / "bundle/bin/paceline", PACELINE)
    for name in "device_gpu_test", "convolution_gpu_test", "vector_math_gpu_test", "device_slot_gpu_test":
        write(folder / "bundle/bin" / name, TESTS.format(crashing=crashing and "convolution" in name))
    write(folder / "path/nvidia-smi", SMI)
    write(folder / "path/compute-sanitizer", SANITIZER)
    write(folder / "path/python-pretended", PYTHON)
    environment = {**os.environ, "PATH": f"{folder}/path:/usr/bin:/bin"}
    return folder / "bundle", folder / "path/python-pretended", environment
