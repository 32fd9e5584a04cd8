"""Synchronous data-parallel training in PyTorch: processes that average their gradients by gloo's all-reduce over loopback.

    all_reduce.py DATA PROCESSES BATCH SECONDS TIMEOUT     DATA: a folder with Fashion-MNIST's or MNIST's IDX files (.gz);
                                                           TIMEOUT: seconds that a collective operation may take

LeNet, Nesterov 0.9, weight decay 1e-4, learning rate 0.05, one thread a process: what `paceline train --network lenet`
does. Standard output is one line of JSON an event, times in seconds since training began: {"event": "ready", "rank", "pid"},
{"event": "step", "t", "steps", "loss"} of rank 0 (the mean over all processes), {"event": "failed", "rank", "t", "error"}.
"""

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

for name in "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE":  # whatever a container's image has set
    os.environ.pop(name, None)
for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS":
    os.environ[name] = "1"
with open("/proc/cpuinfo") as cpus:
    if " avx512f " in cpus.read():  # OpenBLAS takes CPUs newer than itself for a "Prescott", with SSE3
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"

import torch
import torch.distributed as dist
from networks import make


def tell(**event):
    print(json.dumps(event), flush=True)


def idx(path):
    with gzip.open(path) as file:
        dimensions = struct.unpack(">HBB", file.read(4))[2]
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).reshape(shape)


def average(tensors, processes):
    """In one operation, as frameworks do for small networks."""
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= processes
    at = 0
    for t in tensors:
        t.copy_(flat[at : at + t.numel()].view_as(t))
        at += t.numel()


def train(rank, data, processes, batch, seconds):
    images = idx(Path(data) / "train-images-idx3-ubyte.gz").float().unsqueeze(1) / 255
    images = (images - images.mean()) / images.std()
    labels = idx(Path(data) / "train-labels-idx1-ubyte.gz").long()
    torch.manual_seed(1)  # every process begins with the same parameters
    model = make("lenet", image=(1, 28, 28), classes=10).train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    torch.manual_seed(100 + rank)
    tell(event="ready", rank=rank, pid=os.getpid())
    dist.barrier()
    begun = time.monotonic()
    try:
        steps = 0
        while time.monotonic() - begun < seconds:
            chosen = torch.randint(len(images), (batch,))
            sgd.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            mean = loss.detach().clone().view(1)
            average([mean] + [p.grad for p in model.parameters()], processes)
            sgd.step()
            steps += 1
            if rank == 0:
                tell(event="step", t=time.monotonic() - begun, steps=steps, loss=mean.item())
    except RuntimeError as error:
        tell(event="failed", rank=rank, t=time.monotonic() - begun, error=str(error).splitlines()[0])
        sys.exit(1)


def main():
    data, processes, batch, seconds, timeout = sys.argv[1:6]
    if "RANK" in os.environ:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", timeout=timedelta(seconds=float(timeout)))
        train(int(os.environ["RANK"]), data, int(processes), int(batch), float(seconds))
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = dict(os.environ, WORLD_SIZE=processes, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    environment["GLOO_SOCKET_IFNAME"] = "lo"
    command = [sys.executable, __file__, *sys.argv[1:6]]
    children = [subprocess.Popen(command, env=dict(environment, RANK=str(rank))) for rank in range(int(processes))]
    sys.exit(max(abs(child.wait()) for child in children))


main()
