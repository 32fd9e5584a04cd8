"""The networks of `paceline inspect NAME` in PyTorch, with the names of its checkpoints.

    model = make("resnet20")                          # for the images and classes it is meant for
    model = make("lenet", image=(3, 32, 32), classes=10)
    model.load_state_dict(checkpoint.load(path)[0], strict=False)   # num_batches_tracked is missing

Initial values are PyTorch's defaults; paceline's lie in its checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import nn

# name: (channels, height, width), classes
NATURAL = {
    "lenet": ((1, 28, 28), 10),
    "cnn7": ((3, 28, 28), 10),
    "cnn6": ((3, 32, 32), 10),
    **{f"resnet{depth}": ((3, 32, 32), 10) for depth in (20, 32, 44, 56, 110)},
    "vgg16": ((3, 32, 32), 10),
    "resnet18": ((3, 224, 224), 1000),
    "resnet50": ((3, 224, 224), 1000),
}


class LeNet(nn.Module):
    def __init__(self, image, classes):
        super().__init__()
        channels, height, width = image
        self.conv1 = nn.Conv2d(channels, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * (height // 4) * (width // 4), 512)
        self.fc2 = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Cnn7(nn.Module):
    def __init__(self, image, classes):
        super().__init__()
        channels, height, width = image
        self.conv1 = nn.Conv2d(channels, 64, 5)
        self.conv2 = nn.Conv2d(64, 128, 5)
        self.conv3 = nn.Conv2d(128, 64, 3)
        height, width = (((side - 4) // 2 - 4) // 2 - 2 for side in (height, width))
        self.fc1 = nn.Linear(64 * height * width, 256)
        self.fc2 = nn.Linear(256, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x))
        x = F.dropout(F.relu(self.fc1(x.flatten(1))), 0.5, self.training)
        return self.fc2(x)


class Cnn6(nn.Module):
    def __init__(self, image, classes):
        super().__init__()
        channels, height, width = image
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv4 = nn.Conv2d(128, 128, 3, padding=1)
        self.fc1 = nn.Linear(128 * (height // 4) * (width // 4), 256)
        self.fc2 = nn.Linear(256, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = F.max_pool2d(F.relu(self.conv4(F.relu(self.conv3(x)))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Block(nn.Module):
    """Two 3x3 convolutions; a shortcut that changes shape takes every other pixel and adds channels
    of zeros on both sides (He et al. 2015, option A)."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, (channels - inputs) // 2

    def forward(self, x):
        shortcut = x
        if self.added:
            shortcut = x[:, :, :: self.stride, :: self.stride]
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.added, self.added))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class CifarResNet(nn.Module):
    def __init__(self, image, classes, depth):
        super().__init__()
        self.conv1 = nn.Conv2d(image[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self.stage(depth, 16, 16)
        self.layer2 = self.stage(depth, 16, 32)
        self.layer3 = self.stage(depth, 32, 64)
        self.fc = nn.Linear(64, classes)

    @staticmethod
    def stage(depth, inputs, channels):
        first = Block(inputs, channels, stride=channels // inputs)
        others = [Block(channels, channels, stride=1) for _ in range((depth - 2) // 6 - 1)]
        return nn.Sequential(first, *others)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Vgg16(nn.Module):
    """torchvision's vgg16_bn with hidden layers of 512 and no pooling before them."""

    def __init__(self, image, classes):
        super().__init__()
        features, (inputs, height, width) = [], image
        for convolutions, channels in (2, 64), (2, 128), (3, 256), (3, 512), (3, 512):
            for _ in range(convolutions):
                features += [
                    nn.Conv2d(inputs, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                inputs = channels
            features.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Linear(512 * height * width, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(512, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class ImageBlock(nn.Module):
    """torchvision's BasicBlock, or its Bottleneck with the stride on the 3x3 convolution."""

    def __init__(self, inputs, channels, stride, bottleneck):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        kernels = [(1, channels), (3, channels), (1, outputs)] if bottleneck else [(3, channels)] * 2
        strided, width = int(bottleneck), inputs
        for k, (kernel, out) in enumerate(kernels):
            convolution = nn.Conv2d(width, out, kernel, stride if k == strided else 1,
                                    padding=kernel // 2, bias=False)  # fmt: skip
            self.add_module(f"conv{k + 1}", convolution)
            self.add_module(f"bn{k + 1}", nn.BatchNorm2d(out))
            width = out
        self.units = len(kernels)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x))
        x = self.bn2(self.conv2(F.relu(x, inplace=True)))
        if self.units == 3:
            x = self.bn3(self.conv3(F.relu(x, inplace=True)))
        return F.relu(x + shortcut, inplace=True)


class ImageResNet(nn.Module):
    """torchvision's resnet18 and resnet50, names and order alike."""

    def __init__(self, image, classes, blocks, bottleneck):
        super().__init__()
        self.conv1 = nn.Conv2d(image[0], 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for k, count in enumerate(blocks):
            channels, stage = 64 << k, []
            for block in range(count):
                stride = 2 if k > 0 and block == 0 else 1
                stage.append(ImageBlock(inputs, channels, stride, bottleneck))
                inputs = 4 * channels if bottleneck else channels
            self.add_module(f"layer{k + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def make(name, image=None, classes=None):
    """@param image (channels, height, width); those it is meant for when left out"""
    natural_image, natural_classes = NATURAL[name]
    image, classes = image or natural_image, classes or natural_classes
    if name in ("resnet18", "resnet50"):
        blocks = (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3)
        return ImageResNet(image, classes, blocks, bottleneck=name == "resnet50")
    if name.startswith("resnet"):
        return CifarResNet(image, classes, depth=int(name[len("resnet") :]))
    return {"lenet": LeNet, "cnn7": Cnn7, "cnn6": Cnn6, "vgg16": Vgg16}[name](image, classes)
