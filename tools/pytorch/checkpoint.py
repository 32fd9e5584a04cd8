"""Checkpoints of `paceline train` in PyTorch: safetensors files, without a package for them.

8 bytes, the header's length; a header in JSON; the tensors' bytes, little-endian, without gaps.
Format: https://github.com/huggingface/safetensors
"""

import json

import torch

TYPES = {"F32": torch.float32, "I64": torch.int64}


def load(path):
    """@return tensors by name, and the file's strings: network, image (HxWxC), classes, data"""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.uint8)[begin:end].clone()
        tensors[name] = flat.view(TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def save(path, tensors, metadata=None):
    header, blocks, end = {"__metadata__": metadata or {}}, [], 0
    names = {dtype: name for name, dtype in TYPES.items()}
    for name, tensor in tensors.items():
        block = tensor.detach().contiguous().numpy().tobytes()
        begin, end = end, end + len(block)
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        blocks.append(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blocks))
