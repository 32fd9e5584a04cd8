"""Times training steps of a network in PyTorch on a GPU, variant by variant, as its caller asks.

    gpu_step.py NETWORK BATCH IMAGE PRECISION DEVICE    IMAGE: 3x32x32; PRECISION: f32, tf32, bf16;
                                                        DEVICE: cuda, or cpu to try this program
    gpu_step.py facts                                   what this PyTorch is made of

Reads lines of JSON and answers each with one: {"warm": VARIANT} builds the variant and runs it
until it is warm, {"variant": VARIANT, "steps": N} times N steps as a whole: {"seconds": S}. What
cannot be done is {"error": WHY}. Variants: "eager"; "compile MODE", a torch.compile of forward and
loss with one of its modes (reduce-overhead uses CUDA graphs).

PyTorch at its best: channels_last, cudnn.benchmark, autocast to bf16 or TF32 products, fused SGD
(Nesterov, weight decay), one synthetic batch that is on the device already, no synchronisation
inside of what is timed.
"""

import contextlib
import json
import os
import sys
import time

import torch
from networks import NATURAL, make

WARM_UP = 12  # CUDA graphs are recorded in the first ones


def facts():
    cuda = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "can_compile": hasattr(torch, "compile"),
    }


def optimiser(model):
    settings = dict(lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True)
    for way in ({"fused": True}, {"foreach": True}, {}):
        try:
            return torch.optim.SGD(model.parameters(), **way, **settings)
        except (TypeError, RuntimeError):  # before 2.4; not on this device
            continue


class Variant:
    """A model of its own with its optimiser, and one step of it."""

    def __init__(self, name, network, image, batch, precision, device):
        torch.manual_seed(1)
        self.device = device
        classes = NATURAL[network][1]
        layout = torch.channels_last
        self.model = make(network, image=image, classes=classes).train().to(device)
        self.model = self.model.to(memory_format=layout)
        self.x = torch.randn(batch, *image, device=device).to(memory_format=layout)
        self.y = torch.randint(0, classes, (batch,), device=device)
        self.sgd = optimiser(self.model)
        self.autocast = (
            (lambda: torch.autocast(device, dtype=torch.bfloat16))
            if precision == "bf16"
            else contextlib.nullcontext
        )
        self.loss, self.begin = self.forward, lambda: None
        if name != "eager":
            mode = name.removeprefix("compile ")
            self.loss = torch.compile(self.forward, mode=None if mode == "default" else mode)
            self.begin = getattr(torch.compiler, "cudagraph_mark_step_begin", self.begin)

    def forward(self, x, y):
        return torch.nn.functional.cross_entropy(self.model(x), y)

    def step(self):
        self.begin()
        self.sgd.zero_grad(set_to_none=True)
        with self.autocast():
            loss = self.loss(self.x, self.y)
        loss.backward()
        self.sgd.step()

    def run(self, steps):
        """@return seconds of all of them"""
        wait = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        wait()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        wait()
        return time.perf_counter() - start


def answer(variants, request, make_variant):
    name = request.get("warm", request.get("variant"))
    if "warm" in request:
        start = time.perf_counter()
        variants[name] = make_variant(name)
        variants[name].run(request.get("steps", WARM_UP))
        return {"warm": name, "seconds": time.perf_counter() - start}
    return {"seconds": variants[name].run(request["steps"])}


def main():
    if sys.argv[1:] == ["facts"]:
        print(json.dumps(facts()))
        return
    network, batch, image, precision, device = sys.argv[1:]
    batch, image = int(batch), tuple(int(n) for n in image.split("x"))
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
    torch.backends.cudnn.allow_tf32 = precision != "f32"
    # Libraries write to standard output, too: answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    variants = {}
    for line in sys.stdin:
        try:
            told = answer(
                variants,
                json.loads(line),
                lambda name: Variant(name, network, image, batch, precision, device),
            )
        except Exception as error:  # whatever a compiler may raise; the others can still be timed
            told = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(told), file=answers, flush=True)


main()
