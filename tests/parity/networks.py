"""PyTorch's own form of each built-in model, and its parameters under the names that `weft model` writes.

`build(name, settings)` takes the settings of `weft model` (text by name; what is left out has its default there).
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Mlp(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        widths = [inputs] + hidden + [classes]
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            setattr(self, f"fc{i + 1}", nn.Linear(a, b))
        self.layers = len(widths) - 1

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.layers):
            x = F.relu(getattr(self, f"fc{i}")(x))
        return getattr(self, f"fc{self.layers}")(x)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.f1, self.f2 = nn.Linear(64 * 7 * 7, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        return self.f2(F.relu(self.f1(x.flatten(1))))


class UNet(nn.Module):
    def __init__(self, widths, classes):
        super().__init__()

        def double(i, o):
            layers = []
            for a, b in ((i, o), (o, o)):
                layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
            return nn.Sequential(*layers)

        self.down = nn.ModuleList([double(i, o) for i, o in zip([3] + widths[:-1], widths)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(o, i, 2, 2) for i, o in zip(widths[:-1], widths[1:])])
        self.mix = nn.ModuleList([double(2 * i, i) for i in widths[:-1]])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        skips = []
        for level in self.down[:-1]:
            skips.append(level(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for skip, up, mix in reversed(list(zip(skips, self.up, self.mix))):
            x = mix(torch.cat([skip, up(x)], 1))
        return self.head(x)


class Lstm(nn.Module):
    def __init__(self, vocabulary, width, layers):
        super().__init__()
        self.e, self.o = nn.Embedding(vocabulary, width), nn.Linear(width, vocabulary)
        self.l = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, tokens):
        return self.o(self.l(self.e(tokens))[0])


class Logits(nn.Module):
    """A model of the transformers package that returns its logits only."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, tokens):
        return self.inner(tokens).logits


def bert(s):
    import transformers
    number = lambda key, default: int(s.get(key, default))
    return Logits(transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=number("vocabulary", 30522), hidden_size=number("width", 768), num_hidden_layers=number("layers", 12),
        num_attention_heads=number("heads", 12), intermediate_size=number("intermediate", 3072),
        max_position_embeddings=number("positions", 512), hidden_dropout_prob=0, attention_probs_dropout_prob=0)))


def gpt2(s):
    import transformers
    number = lambda key, default: int(s.get(key, default))
    last = number("vocabulary", 50257) - 1
    return Logits(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=last + 1, n_positions=number("positions", 1024), n_embd=number("width", 768),
        n_layer=number("layers", 12), n_head=number("heads", 12), resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        use_cache=False, bos_token_id=last, eos_token_id=last)))


def build(name, s):
    number = lambda key, default: int(s.get(key, default))
    numbers = lambda key, default: [int(v) for v in s.get(key, default).split(",")]
    if name == "mlp":
        return Mlp(number("inputs", 784), numbers("hidden", "256,128"), number("classes", 10))
    if name == "lenet":
        return LeNet()
    if name == "unet":
        return UNet(numbers("widths", "32,64,128,256"), number("classes", 2))
    if name == "lstm":
        return Lstm(number("vocabulary", 10000), number("width", 650), number("layers", 2))
    if name in ("bert", "gpt2"):
        return {"bert": bert, "gpt2": gpt2}[name](s)
    import torchvision
    classes = number("classes", 1000)
    if name == "vit":
        return torchvision.models.VisionTransformer(
            number("image", 224), number("patch", 16), number("layers", 12), number("heads", 12), number("width", 768),
            number("mlp", 3072), num_classes=classes)
    if name == "mobilenet_v2":
        return torchvision.models.mobilenet_v2(num_classes=classes, width_mult=float(s.get("width", 1)),
                                               dropout=float(s.get("dropout", 0.2)))
    width = number("width", 64)
    net = getattr(torchvision.models, name)(num_classes=classes)
    return net if width == 64 else narrow_resnet(net, name, width, classes)


def narrow_resnet(wide, name, width, classes):
    """torchvision fixes the first stage at 64 channels; the same network with another width."""
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    class Narrow(ResNet):
        def _make_layer(self, block, planes, *arguments, **options):
            return super()._make_layer(block, planes * width // 64, *arguments, **options)

        def __init__(self, block, layers):
            self.first = True
            super().__init__(block, layers, num_classes=classes)

        def __setattr__(self, key, value):
            if key == "inplanes" and self.__dict__.pop("first", False):
                value = width
            if key == "fc":
                value = nn.Linear(8 * width * (4 if isinstance(self.layer4[0], Bottleneck) else 1), classes)
            super().__setattr__(key, value)

    block = Bottleneck if name == "resnet50" else BasicBlock
    return Narrow(block, [len(getattr(wide, f"layer{i}")) for i in (1, 2, 3, 4)])


GATES = [0, 2, 3, 1]  # PyTorch's input, forget, cell, output among ONNX's input, output, forget, cell


def states(name, net, given=None):
    """Parameters and running statistics under the names of `weft model`; first replaced by `given` where that is there.

    Every state must be in `given`, in the shape that PyTorch has, and every floating value there of more than one
    element a state or a constant (a mask).
    """
    own = {k.removeprefix("inner."): v for k, v in net.state_dict(keep_vars=True).items()}
    tied = {"lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    own = {k: v.detach() for k, v in own.items() if k not in tied and not k.endswith("num_batches_tracked")}
    if given is None:
        return own
    given = dict(given)
    if name == "lstm":
        for layer in range(net.l.num_layers):
            bias = given.pop(f"l.bias_l{layer}")[0].reshape(2, 4, -1)
            for half, part in enumerate(("ih", "hh")):
                weight = given.pop(f"l.weight_{part}_l{layer}")[0]
                given[f"l.weight_{part}_l{layer}"] = weight.reshape(4, -1, weight.shape[1])[GATES].reshape(weight.shape)
                given[f"l.bias_{part}_l{layer}"] = bias[half][GATES].reshape(-1)
    assert not set(own) - set(given), set(own) - set(given)
    extra = [k for k in set(given) - set(own) if given[k].is_floating_point() and given[k].numel() > 1]
    assert not set(extra) - {"causal_mask"}, extra
    with torch.no_grad():
        for key, value in own.items():
            assert value.shape == given[key].shape, (key, value.shape, given[key].shape)
            value.copy_(given[key])
    return own
