"""PyTorch's side of the test of checkpoints that go both ways (tests/layers/pytorch_interchange_test.cc).

    interchange.py answer FOLDER NAME...   for each NAME.ours, a checkpoint of paceline's:
        NAME.ours.logits   {images, logits}: what PyTorch makes of it
        NAME.theirs        a state_dict of PyTorch's for the same network
        NAME.theirs.logits {images, logits}
    interchange.py compare FOLDER NAME...  NAME.theirs and NAME.back are the same but for
        num_batches_tracked
    interchange.py train FOLDER NAME...    for each NAME.ours:
        NAME.steps         {images, labels, losses, rate}: twenty steps from it

Ends with an error that names what differs.
"""

import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools", "pytorch"))
import checkpoint
import networks

COUNTED = ".num_batches_tracked"
# Low: at 0.01, PyTorch's own losses of ResNet-20 in f32 and f64 are 2e-3 apart after twenty steps.
RATES = {"lenet": 0.01, "resnet20": 0.001}


def spread(model):
    """PyTorch's initial values, and BatchNorms as a training might leave them."""
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(7)


def save_logits(path, model, image):
    images = torch.randn(2, *image)
    with torch.no_grad():
        checkpoint.save(path, {"images": images, "logits": model.eval()(images)})


def model_of(path):
    """@return the network of a checkpoint of paceline's with its values, and its images' shape"""
    tensors, metadata = checkpoint.load(path)
    height, width, channels = map(int, metadata["image"].split("x"))
    image = (channels, height, width)
    model = networks.make(metadata["network"], image, int(metadata["classes"]))
    result = model.load_state_dict(tensors, strict=False)
    missing = [key for key in result.missing_keys if not key.endswith(COUNTED)]
    if missing or result.unexpected_keys:
        sys.exit(f"{path}: PyTorch misses {missing} and does not know {result.unexpected_keys}")
    return model, image


def answer(folder, name):
    model, image = model_of(f"{folder}/{name}.ours")
    save_logits(f"{folder}/{name}.ours.logits", model, image)
    spread(model)
    checkpoint.save(f"{folder}/{name}.theirs", model.state_dict())
    save_logits(f"{folder}/{name}.theirs.logits", model, image)


def train(folder, name):
    steps, batch = 20, 32
    model, image = model_of(f"{folder}/{name}.ours")
    labels = torch.randint(10, (steps * batch,))
    prototypes = torch.randn(10, *image)  # of each class, so that there is something to learn
    images = prototypes[labels] + torch.randn(steps * batch, *image)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=RATES[name], momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    losses = []
    for step in range(steps):
        rows = slice(step * batch, (step + 1) * batch)
        loss = torch.nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    tensors = {"images": images, "labels": labels.float(), "losses": torch.tensor(losses), "rate": torch.tensor([RATES[name]])}
    checkpoint.save(f"{folder}/{name}.steps", tensors)


def compare(folder, name):
    theirs, _ = checkpoint.load(f"{folder}/{name}.theirs")
    back, _ = checkpoint.load(f"{folder}/{name}.back")
    theirs = {key: value for key, value in theirs.items() if not key.endswith(COUNTED)}
    if set(theirs) != set(back):
        sys.exit(f"{name}: other names: {set(theirs) ^ set(back)}")
    for key, value in theirs.items():
        if value.shape != back[key].shape or not torch.equal(
            value.view(torch.int32), back[key].view(torch.int32)
        ):
            sys.exit(f"{name}: '{key}' came back as something else")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(1)
    sides = {"answer": answer, "train": train, "compare": compare}
    for argument in sys.argv[3:]:
        sides[sys.argv[1]](sys.argv[2], argument)
