"""Times training steps of a network in PyTorch on the CPU, as `paceline bench step --on-request`.

    step.py NETWORK BATCH IMAGE LAYOUT THREADS STEPS   IMAGE: 3x32x32; LAYOUT: contiguous or
                                                       channels_last
    step.py facts                                      what this PyTorch is made of

Prints one line of JSON when warm; then for each line of standard input {"seconds": [...]}, those of
STEPS steps, so that a caller can run blocks of several programs in turn. A step is forward,
backward and Nesterov SGD with weight decay, fused where this PyTorch can.
"""

import ctypes
import json
import os
import re
import sys
import time

with open("/proc/cpuinfo") as file:
    AVX512 = " avx512f " in file.read()
for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":  # whatever a container's image has set
    os.environ.pop(name, None)
if AVX512:  # OpenBLAS takes CPUs newer than itself for a "Prescott", with SSE3
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"

import torch
from networks import NATURAL, make

WARM_UP = 3


def blas():
    """What multiplies matrices: MKL, or what the dynamic linker has found, with its kernels."""
    if torch.backends.mkl.is_available():
        return "MKL"
    with open("/proc/self/maps") as file:
        lines = [line for line in file if re.search(r"/lib(open)?blas[^/]*\.so", line)]
    libraries = sorted({line.split()[-1] for line in lines})
    for library in libraries:
        core = getattr(ctypes.CDLL(library), "openblas_get_corename", None)
        if core:
            core.restype = ctypes.c_char_p
            return f"OpenBLAS with {core().decode()} kernels"
    return f"reference BLAS ({', '.join(libraries)})"


def facts():
    """With ONEDNN_VERBOSE set, oneDNN prints its instruction set before, on its first call."""
    torch.nn.Conv2d(16, 16, 3)(torch.randn(8, 16, 19, 19))
    show = torch.__config__.show()
    return {
        "version": torch.__version__,
        "onednn": re.search(r"MKL-DNN v(\S+)", show)[1],
        "capability": re.search(r"CPU capability usage: (\S+)", show)[1],
        "blas": blas(),
        "avx512": AVX512,
    }


def optimiser(model):
    settings = dict(lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True)
    try:
        return torch.optim.SGD(model.parameters(), fused=True, **settings)
    except (TypeError, RuntimeError):  # before 2.4
        return torch.optim.SGD(model.parameters(), **settings)


def main():
    if sys.argv[1:] == ["facts"]:
        print(json.dumps(facts()))
        return
    name, batch, image, layout, threads, steps = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    image, classes = tuple(int(n) for n in image.split("x")), NATURAL[name][1]
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    model = make(name, image=image, classes=classes).train().to(memory_format=formats[layout])
    x = torch.randn(int(batch), *image).to(memory_format=formats[layout])
    y = torch.randint(0, classes, (int(batch),))
    sgd = optimiser(model)

    def step():
        start = time.perf_counter()
        sgd.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        sgd.step()
        return time.perf_counter() - start

    for _ in range(WARM_UP):
        step()
    print(json.dumps({"network": name, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": [step() for _ in range(int(steps))]}), flush=True)


main()
