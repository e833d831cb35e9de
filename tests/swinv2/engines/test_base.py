"""Blocks that are not as they were built, and tensors that are not plain ones: the plain result on every engine."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

import swinv2
from swinv2 import explain, optimize_for_inference, use_engine

IMAGES = torch.randn(2, 3, 36, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CPB = "attn.cpb_mlp.2"
LINEAR = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]


def plain(model):
    """A copy that no engine computes."""
    return use_engine(copy.deepcopy(model), "plain")


def assert_same(model):
    """Features and gradients of images and weights in training, features in evaluation, as those of the plain form."""
    other, found = plain(model), []
    for one in (model, other):
        torch.manual_seed(0)
        images = IMAGES.clone().requires_grad_()
        out = one.train()(images)[0]
        grads = torch.autograd.grad(out.square().mean(), [images, *one.parameters()], allow_unused=True)
        with torch.no_grad():
            found.append([out, *grads, one(IMAGES)[0], one.eval()(IMAGES)[0], one(IMAGES)[0]])
    for one, two in zip(*found, strict=True):
        assert (one is None) == (two is None)
        if two is not None:
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10)


def reason(model):
    """Why the first block's layers are called one by one; empty where they are not."""
    return explain(model, IMAGES).splitlines()[0].partition("layer by layer: ")[2]


class Observing(nn.Module):
    """A layer that does something with the statistics of its tokens, which must be those of a grid, and keeps them."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.seen = []

    def forward(self, x):
        """More of it where the tokens of an image differ."""
        self.seen.append((x, x.detach().clone()))
        assert x.ndim == 4
        return self.layer(x / (1 + x.std((1, 2), keepdim=True)))


@pytest.mark.parametrize("name", LINEAR)
def test_a_replaced_layer_meets_the_tokens_of_the_grid(model, name):
    """In every mode; what it was given stays as it was."""
    block = model.layers[0].blocks[0]
    block.set_submodule(name, Observing(block.get_submodule(name)))
    assert_same(model)
    with torch.no_grad():
        model(IMAGES)
    assert all(torch.equal(given, at_first) for given, at_first in block.get_submodule(name).seen)


class Wrapper(nn.Module):
    """Something around a part."""

    def __init__(self, part, factor=0.5):
        super().__init__()
        self.part, self.factor = part, factor

    def forward(self, x, *given):
        """The part, of something else."""
        return self.part(x * self.factor if torch.is_tensor(x) else x, *given)


class Dropping(nn.Module):
    """An adapter with dropout."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.up = layer.requires_grad_(False), nn.Linear(layer.in_features, layer.out_features).double()

    def forward(self, x):
        """Both."""
        return self.layer(x) + self.up(torch.nn.functional.dropout(x, 0.5, self.training))


def test_adapters_draw_the_same_numbers(model):
    """With and without gradients, and where a forward pass is done again."""
    found = []
    model.layers[0].blocks[0].mlp.fc1 = Dropping(model.layers[0].blocks[0].mlp.fc1)
    for one in (model, plain(model)):
        images = IMAGES.clone().requires_grad_()
        torch.manual_seed(0)
        with torch.no_grad():
            out = one(images)[0]
        again = checkpoint(lambda x, one=one: one(x)[0], images, use_reentrant=True)
        again.square().sum().backward()
        found.append([out, again, images.grad, one.layers[0].blocks[0].mlp.fc1.up.weight.grad])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def frozen_adapter(block, tensor):
    """A change: a layer that has a tensor, which is no weight, in a frozen model."""
    block.mlp.fc1 = Wrapper(block.mlp.fc1, tensor)


def frozen_attribute(block, tensor):
    """A change: a tensor in the place of a weight."""
    del block.attn.q_bias
    block.attn.q_bias = tensor


@pytest.mark.parametrize("change", [frozen_adapter, frozen_attribute])
def test_a_tensor_that_is_no_weight_may_bring_a_gradient(model, change):
    """To a frozen model in evaluation."""
    tensor, grads = torch.ones(8, dtype=torch.float64, requires_grad=True), []
    for one in (model.requires_grad_(False).eval(), plain(model)):
        change(one.layers[0].blocks[1], tensor)
        grads += torch.autograd.grad(one(IMAGES)[0].square().sum(), tensor)
    assert grads[1].abs().max() > 0
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-8, atol=1e-8)


def biased(block):
    """Queries, keys and values with a bias of the layer's own."""
    block.attn.qkv = nn.Linear(8, 24).double()


def without_bias(name):
    """A change: a layer without a bias."""

    def change(block):
        layer = block.get_submodule(name)
        block.set_submodule(name, nn.Linear(layer.in_features, layer.out_features, bias=False).double())

    return change


def as_buffer(name):
    """A change: a weight that is a buffer."""

    def change(block):
        layer = block.get_submodule(name)
        weight = layer.weight.detach().clone()
        del layer.weight
        layer.register_buffer("weight", weight)

    return change


def without_affine(block):
    """A norm that has no weights."""
    block.norm1.bias = None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (biased, "attn.qkv.bias"),
        (without_bias("attn.proj"), "attn.proj.bias"),
        (without_bias("mlp.fc1"), "mlp.fc1.bias"),
        (without_bias("mlp.fc2"), "mlp.fc2.bias"),
        (without_affine, "norm1.bias"),
        (as_buffer("mlp.fc1"), "mlp.fc1.weight"),
        (as_buffer("norm2"), "norm2.weight"),
        (as_buffer(CPB), f"{CPB}.weight"),
    ],
)
def test_weights_other_than_those_of_a_block(model, change, why):
    """More, fewer, or no parameters."""
    change(model.layers[0].blocks[0])
    assert reason(model) == f"{why} is not the plain parameter that a block is built with"
    assert_same(model)


@torch.no_grad()
@pytest.mark.parametrize("name", ["mlp.fc1", CPB])
@pytest.mark.parametrize("prepared", [False, True])
def test_weights_that_are_no_parameters_may_change(model, name, prepared):
    """Written to or replaced, after they were used."""
    block = model.layers[0].blocks[0]
    as_buffer(name)(block)
    model = optimize_for_inference(model) if prepared else model.eval()
    before = model(IMAGES)[0]
    layer = block.get_submodule(name)
    layer.weight.mul_(-2)
    torch.testing.assert_close(model(IMAGES)[0], plain(model)(IMAGES)[0])
    assert (model(IMAGES)[0] - before).abs().max() > 1e-3
    layer.weight = layer.weight / 4
    torch.testing.assert_close(model(IMAGES)[0], plain(model)(IMAGES)[0])


class Scaled(nn.Module):
    """A weight that depends on a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.ones((), dtype=torch.float64))

    def forward(self, weight):
        """Times it."""
        return weight * self.factor


@torch.no_grad()
def test_a_parametrised_position_bias_is_not_kept(model):
    """What it depends on may change: a buffer, or in training the state of a spectral norm."""
    layer = model.eval().layers[0].blocks[0].get_submodule(CPB)
    parametrize.register_parametrization(layer, "weight", Scaled())
    model(IMAGES)
    layer.parametrizations.weight[0].factor.mul_(-2)
    torch.testing.assert_close(model(IMAGES)[0], plain(model)(IMAGES)[0])
    spectral_norm(model.layers[0].blocks[1].get_submodule(CPB))
    other = plain(model).train()
    for _ in range(3):
        torch.testing.assert_close(model.train()(IMAGES)[0], other(IMAGES)[0])


@pytest.mark.parametrize("name", ["attn", "mlp", "norm1", "attn.cpb_mlp"])
def test_a_replaced_part(model, name):
    """Of any kind, also where the model is prepared and explained."""
    block = model.layers[0].blocks[0]
    block.set_submodule(name, Wrapper(block.get_submodule(name)))
    assert_same(model)
    with torch.no_grad():
        torch.testing.assert_close(optimize_for_inference(model)(IMAGES)[0], plain(model)(IMAGES)[0])
    assert reason(model) == f"{name} is a Wrapper"


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_dynamically_quantised_layers(model):
    """All linear layers of a model, the position bias's too."""
    quantised = torch.ao.quantization.quantize_dynamic(model.float().eval(), {nn.Linear})
    found, wanted = quantised(IMAGES.float())[0], plain(quantised)(IMAGES.float())[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert (found - model(IMAGES.float())[0]).norm() < 0.2 * found.norm()


@pytest.mark.parametrize("layer_by_layer", [False, True])
def test_second_derivatives_are_errors(model, layer_by_layer):
    """Whatever they are taken of, in whatever way; the plain form has them."""
    for block in model.layers[0].blocks:
        block.mlp.fc1 = Observing(block.mlp.fc1) if layer_by_layer else block.mlp.fc1

    def gradient(one):
        images = IMAGES.clone().requires_grad_()
        (grad,) = torch.autograd.grad(one(images)[0].square().sum(), images, create_graph=True)
        return images, grad.square().sum()

    images, penalty = gradient(plain(model))
    assert torch.autograd.grad(penalty, images)[0].abs().max() > 0
    images, penalty = gradient(model)
    for inputs in (images, model.patch_embed.proj.weight, model.layers[0].blocks[0].attn.logit_scale):
        with pytest.raises(RuntimeError, match=r'no second derivative; take swinv2.use_engine\(model, "plain"\)'):
            torch.autograd.grad(penalty, inputs, retain_graph=True)
        with pytest.raises(RuntimeError, match="no second derivative"):
            penalty.backward(inputs=[inputs], retain_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.functional.jvp(lambda x: model(x)[0], IMAGES, IMAGES)


def test_gradients_with_a_graph_are_the_same(model):
    """As some ask for, who take no second derivative of them."""
    images = IMAGES.clone().requires_grad_()
    loss = model(images)[0].square().sum()
    grads = torch.autograd.grad(loss, images, retain_graph=True), torch.autograd.grad(loss, images, create_graph=True)
    assert torch.equal(grads[0][0], grads[1][0].detach())


def test_a_float64_model_under_autocast(model):
    """Which leaves float64 alone."""
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(model)


@torch.no_grad()
@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_not_a_number_stays_in_its_windows(model, engine):
    """Of a block that does not shift: the first token's is the first window, in features and in gradients."""
    block = use_engine(model, engine).eval().layers[0].blocks[0]
    x = torch.randn(1, 9, 7, 8, dtype=torch.float64)
    x[0, 0, 0] = torch.nan
    windows = swinv2.windows.cut((9, 7), (4, 4), False, x.device)
    expected = torch.zeros(1, 9, 7, dtype=torch.bool)
    expected[:, :4, :4] = True
    assert torch.equal(block(x, windows).isnan().any(-1), expected)
    with torch.enable_grad():
        given = torch.randn_like(x).requires_grad_()
        (grad,) = torch.autograd.grad(block(given, windows), given, x)
    assert torch.equal(grad.isnan().any(-1), expected)


def test_training_after_validation_in_inference_mode(model):
    """What was found there about an image's size serves, too."""
    images = torch.randn(1, 3, 128, 256, dtype=torch.float64)  # as many tokens as are evaluated at a time
    with torch.inference_mode():
        model.eval()(images)
    for block in model.layers[0].blocks:
        block.attn.qkv = Dropping(block.attn.qkv)
    model.train()(images)[0].sum().backward()


def test_another_default_device(model):
    """It is that of new tensors, not of the model's."""
    images = torch.randn(1, 3, 60, 28, dtype=torch.float64)
    wanted = plain(model)(images)[0]
    with torch.device("meta"):
        model(images)[0].sum().backward()
        with torch.no_grad():
            torch.testing.assert_close(optimize_for_inference(model)(images)[0], wanted)


@torch.no_grad()
def test_fake_tensors_and_graphs(model):
    """Come from the plain form, and nothing of them stays."""
    images = torch.randn(1, 3, 52, 44, dtype=torch.float64)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(images)
        assert type(model(fake)[0]) is type(fake)
        assert "plain (gpu: the tokens are on cpu; cpu: the model is traced or transformed)" in explain(model, fake)
    wanted = model(images)[0]
    assert type(wanted) is torch.Tensor
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert model(mode.from_tensor(images))[0].shape == wanted.shape
    torch.testing.assert_close(make_fx(lambda x: model(x)[0])(images)(images), wanted)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_function_transforms(model, engine):
    """Gradients of each image by itself, in one call."""
    use_engine(model, engine)
    weights = dict(model.named_parameters())

    def loss(weights, image):
        return torch.func.functional_call(model, weights, (image[None],))[0].square().mean()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, IMAGES)
    for i, image in enumerate(IMAGES):
        wanted = torch.autograd.grad(loss(weights, image), [*weights.values()], allow_unused=True)
        for (name, _), grad in zip(weights.items(), wanted, strict=True):
            if grad is not None:
                torch.testing.assert_close(found[name][i], grad, rtol=1e-8, atol=1e-10)


def test_blocks_are_explained_that_are_called_by_names(model):
    """Of their arguments."""
    block = model.layers[0].blocks[0]
    with swinv2.engines.Watch(model) as watch:
        x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
        block(x=x, windows=swinv2.windows.cut((8, 8), (4, 4), False, x.device))
    assert watch.summary() == "1 block by cpu"


def test_a_hook_may_write_to_what_it_is_given(model):
    """Also where the grid is one window."""
    for block in model.layers[0].blocks:
        block.attn.proj.register_forward_pre_hook(lambda layer, given: (given[0].mul_(2),))
    images, found = torch.randn(1, 3, 16, 16, dtype=torch.float64), []
    for one in (model, plain(model)):
        out = one(images)[0]
        found.append([out, *torch.autograd.grad(out.square().sum(), [*one.layers.parameters()], allow_unused=True)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_a_hook_of_all_modules_or_a_tag_leaves_a_model_prepared(model):
    """It is called once, and what was packed stays."""
    optimize_for_inference(model.float())
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
    try:
        model(IMAGES.float())
    finally:
        handle.remove()
    for module in model.modules():
        module.tag = 1
    assert explain(model, IMAGES.float()).count("cpu, prepared") == 2
