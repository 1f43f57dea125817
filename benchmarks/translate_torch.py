"""The contender: the steps of pix2pix, CycleGAN and MUNIT as one writes them in plain PyTorch, as fast as they go.

Fused Adam, no gradients of a critic's weights in the makers' turn, pictures made once for both turns where the
algorithm allows it, no DataLoader; on one thread or on all cores, maps channels first or last, data and samples before
a critic in one batch or in two, whichever is faster here.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import side_torch
from benchmarks.side_torch import Average, Run, signed, wrapped
from benchmarks.tasks import CHECKED
from benchmarks.tasks import translate as tasks
from benchmarks.translate_nets_torch import Domain, PatchGAN, PlainUnet, Translator

START = 0.02  # deviation of all kernels when timed: of no matter to speed, so long as nothing fades or explodes

# Pictures x and y [B, C, H, W] in [-1, 1] are the given ones and the others, or those of both domains. `one` and `two`
# are what a step draws.
Both = tuple[Tensor, Tensor]
Outputs = dict[str, Tensor]


def judged(disc: nn.Module, real: Tensor, fake: Tensor, calls: int) -> Both:
    """D of data and of samples, in one batch or in two: a critic looks at pictures one by one."""
    if calls == 2:
        return disc(real), disc(fake)
    both = torch.cat([real, fake])
    r, f = disc(both).chunk(2)
    return r, f


# --- pix2pix ----------------------------------------------------------------------------------------------------------


class Pix2pix(nn.Module):
    """Generator and discriminator, non-saturating, with the absolute error."""

    def __init__(self, net: tasks.Pair, calls: int = 1):
        super().__init__()
        self.net = net
        self.calls = calls
        # the clock is one of them
        inputs = net.channels + 1 + net.latent
        self.gen = PlainUnet(net.gen, inputs, net.channels)
        # the given picture stands beside
        self.disc = PatchGAN(net.disc, 2 * net.channels)

    def draw(self) -> Both:
        """z of both turns."""
        shape = (self.net.batch, self.net.latent)
        one = torch.randn(shape)
        two = torch.randn(shape)
        return one, two

    def disc_loss(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The discriminator's."""
        # this is not the generator's turn
        with torch.no_grad():
            made = self.sample(self.gen, x, z)
            real = torch.cat([y, x], 1)
            fake = torch.cat([made, x], 1)
        r, f = judged(self.disc, real, fake, self.calls)
        # -log of the right answer to either, a number for each patch
        of_real = F.softplus(-r)
        of_fake = F.softplus(f)
        return of_real.mean() + of_fake.mean()

    def gen_loss(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The generator's."""
        made = self.sample(self.gen, x, z)
        fake = torch.cat([made, x], 1)
        scores = self.disc(fake)
        # the wrong answer, however sure the discriminator is
        game = F.softplus(-scores)
        error = F.l1_loss(made, y)
        return self.net.weight * error + self.net.play * game.mean()

    def outputs(self, x: Tensor, y: Tensor, told: Tensor) -> Outputs:
        """What the nets say, for the check."""
        made = self.sample(self.gen, x, told)
        # true ones: what is made is seen in the losses
        real = torch.cat([y, x], 1)
        scores = self.disc(real)
        return {"generator": made, "discriminator": scores}

    def sample(self, gen: nn.Module, x: Tensor, told: Tensor) -> Tensor:
        """Pictures in [-1, 1] by a generator like its own."""
        made = gen(x, told)
        # within the range of pictures
        return torch.tanh(made)


# --- two domains ------------------------------------------------------------------------------------------------------


class Unpaired(nn.Module):
    """What systems of two domains share: the game of least squares with a critic in each."""

    def __init__(self, net: tasks.Cycle | tasks.Styles, calls: int):
        super().__init__()
        self.net = net
        self.calls = calls
        self.disc = nn.ModuleDict()
        self.gen = nn.ModuleDict()
        for domain in tasks.DOMAINS:
            self.disc[domain] = PatchGAN(net.disc, net.channels)

    def disc_loss(
        self,
        x: Tensor,
        y: Tensor,
        fake_x: Tensor,
        fake_y: Tensor,
    ) -> Tensor:
        """That of both critics."""
        of_x = self._critic("a", x, fake_x)
        of_y = self._critic("b", y, fake_y)
        return of_x + of_y

    def _critic(self, domain: str, real: Tensor, fake: Tensor) -> Tensor:
        disc = self.disc[domain]
        r, f = judged(disc, real, fake, self.calls)
        # data are to score 1, samples 0
        of_real = (r - 1.0).square()
        of_fake = f.square()
        return 0.5 * (of_real.mean() + of_fake.mean())

    def game(self, fake_x: Tensor, fake_y: Tensor) -> Tensor:
        """What the makers pay to both critics."""
        of_x = self.disc["a"](fake_x)
        of_y = self.disc["b"](fake_y)
        # the makers want 1
        missed_x = (of_x - 1.0).square()
        missed_y = (of_y - 1.0).square()
        return 0.5 * (missed_x.mean() + missed_y.mean())


class CycleGAN(Unpaired):
    """Two generators that send pictures there and back."""

    def __init__(self, net: tasks.Cycle, calls: int = 1):
        super().__init__(net, calls)
        for domain in tasks.DOMAINS:
            self.gen[domain] = Translator(net.gen, net.channels)

    def draw(self) -> Both:
        """Whether a picture of the pool is shown, and which, for both domains, the second first."""
        shape = (2, self.net.batch)
        coins = torch.rand(shape) < 0.5
        places = torch.randint(self.net.pool, shape)
        return coins, places

    def cost(
        self,
        x: Tensor,
        y: Tensor,
        one: Tensor,
        two: Tensor,
    ) -> tuple[Tensor, ...]:
        """(made of y, made of x, what it costs that they do not come back, and that own pictures change)."""
        into_x = self.gen["a"]
        into_y = self.gen["b"]
        # of the other domain's pictures and of its own at once
        for_y = torch.cat([x, y])
        for_x = torch.cat([y, x])
        fake_y, same_y = into_y(for_y).chunk(2)
        fake_x, same_x = into_x(for_x).chunk(2)
        # what is of a domain already should stay
        moved = F.l1_loss(same_x, x) + F.l1_loss(same_y, y)
        # and what has gone there should come back
        back_x = into_x(fake_y)
        back_y = into_y(fake_x)
        away = F.l1_loss(back_x, x) + F.l1_loss(back_y, y)
        parts = away + self.net.identity * moved
        return fake_x, fake_y, self.net.cycle * parts

    def pools(self) -> Callable[..., Both]:
        """A function (fake_x, fake_y, coins, places) that says what the critics are shown."""
        # one a domain
        size = self.net.pool
        of_x = Pool(size)
        of_y = Pool(size)

        def show(
            fake_x: Tensor,
            fake_y: Tensor,
            coins: Tensor,
            places: Tensor,
        ) -> Both:
            # as Python's numbers once: each of them alone would be an operation
            coins_y, coins_x = coins.tolist()
            places_y, places_x = places.tolist()
            shown_x = of_x(fake_x, coins_x, places_x)
            shown_y = of_y(fake_y, coins_y, places_y)
            return shown_x, shown_y

        return show

    def outputs(self, x: Tensor, y: Tensor, told: Tensor) -> Outputs:
        """What the nets say, for the check."""
        made = self.gen["b"](x)
        scores = self.disc["b"](y)
        return {"generator": made, "critic": scores}

    def sample(self, gen: nn.ModuleDict, x: Tensor, told: Tensor) -> Tensor:
        """Pictures of the second domain in [-1, 1]."""
        return gen["b"](x)


class Pool:
    """Older pictures that a critic is shown in the place of new ones, by a fair coin."""

    def __init__(self, size: int):
        self._size = size
        self._pictures: list[Tensor] = []

    def __call__(
        self,
        fresh: Tensor,
        coins: Sequence[bool],
        places: Sequence[int],
    ) -> Tensor:
        """What is shown of pictures [B, ...], the same shape."""
        shown = []
        for picture, coin, place in zip(fresh, coins, places, strict=True):
            older = self._older(picture, coin, place)
            shown.append(older)
        return torch.stack(shown)

    def _older(self, picture: Tensor, coin: bool, place: int) -> Tensor:
        kept = self._pictures
        # copies: a view would keep the whole batch
        if len(kept) < self._size:
            kept.append(picture.clone())
            return picture
        if not coin:
            return picture
        older = kept[place]
        kept[place] = picture.clone()
        return older


class MUNIT(Unpaired):
    """An encoder of contents, a reader of styles and a decoder in each domain."""

    def __init__(self, net: tasks.Styles, calls: int = 1):
        super().__init__(net, calls)
        for domain in tasks.DOMAINS:
            self.gen[domain] = Domain(net)

    def draw(self) -> Both:
        """The styles of both ways."""
        shape = (self.net.batch, self.net.style)
        one = torch.randn(shape)
        two = torch.randn(shape)
        return one, two

    def cost(
        self,
        x: Tensor,
        y: Tensor,
        one: Tensor,
        two: Tensor,
    ) -> tuple[Tensor, ...]:
        """(made of y, made of x, what it costs that pictures and codes do not come back)."""
        a = self.gen["a"]
        b = self.gen["b"]
        fake_y, there = self._way(a, b, x, one)
        fake_x, back = self._way(b, a, y, two)
        return fake_x, fake_y, there + back

    def _way(
        self,
        home: nn.Module,
        abroad: nn.Module,
        x: Tensor,
        style: Tensor,
    ) -> Both:
        # a picture has two codes
        content = home.content(x)
        own = home.reader(x)
        same = home.dec(content, own)
        # abroad it keeps the one and is given the other
        fake = abroad.dec(content, style)
        # what made a picture is read from it again
        content_again = abroad.content(fake)
        style_again = abroad.reader(fake)
        net = self.net
        cost = net.picture * F.l1_loss(same, x)
        cost = cost + net.same_content * F.l1_loss(content_again, content)
        cost = cost + net.same_style * F.l1_loss(style_again, style)
        return fake, cost

    def pools(self) -> Callable[..., Both]:
        """A function (fake_x, fake_y, …) that says what the critics are shown: all of it."""

        def show(fake_x: Tensor, fake_y: Tensor, *draws: Tensor) -> Both:
            return fake_x, fake_y

        return show

    def outputs(self, x: Tensor, y: Tensor, told: Tensor) -> Outputs:
        """What the nets say, for the check."""
        own = self.gen["a"]
        content = own.content(x)
        style = own.reader(x)
        return {
            "content": content,
            "style": style,
            "decoder": own.dec(content, style),
            "critic": self.disc["b"](y),
        }

    def sample(self, gen: nn.ModuleDict, x: Tensor, told: Tensor) -> Tensor:
        """Pictures of the second domain in [-1, 1], in styles that are told."""
        # the only thing that goes across
        content = gen["a"].content(x)
        return gen["b"].dec(content, told)


# --- a step -----------------------------------------------------------------------------------------------------------

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Both]  # -> losses of critics and makers


def adam(player: nn.Module, cfg: tasks.Adam) -> torch.optim.Optimizer:
    """Of one player."""
    # decay as AdamW's; where it is 0 this is Adam
    betas = (cfg.b1, cfg.b2)
    return torch.optim.AdamW(
        player.parameters(),
        cfg.lr,
        betas,
        weight_decay=cfg.weight_decay,
        fused=True,
    )


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """A step of one player."""
    # to None: zeros would be one more pass over all gradients
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def paired(system: Pix2pix, compiled: bool) -> Step:
    """A step of the discriminator, then one of the generator."""
    gen = adam(system.gen, system.net.optimiser)
    disc = adam(system.disc, system.net.disc_optimiser)
    disc_loss = wrapped(system.disc_loss, compiled)
    gen_loss = wrapped(system.gen_loss, compiled)

    def step(x: Tensor, y: Tensor, one: Tensor, two: Tensor) -> Both:
        system.disc.requires_grad_(True)
        of_disc = descend(disc, disc_loss(x, y, one))
        # the generator's step wants no gradients of its weights
        system.disc.requires_grad_(False)
        of_gen = descend(gen, gen_loss(x, y, two))
        return of_disc, of_gen

    return step


def unpaired(system: CycleGAN | MUNIT, compiled: bool) -> Step:
    """A step of both critics, then one of all that makes pictures, which are made once for both."""
    gen = adam(system.gen, system.net.optimiser)
    disc = adam(system.disc, system.net.disc_optimiser)
    # three programs, for what is between them depends on the pool and on a step
    cost = wrapped(system.cost, compiled)
    disc_loss = wrapped(system.disc_loss, compiled)
    game = wrapped(system.game, compiled)
    show = system.pools()

    def step(x: Tensor, y: Tensor, one: Tensor, two: Tensor) -> Both:
        fake_x, fake_y, paid = cost(x, y, one, two)
        # this is the critics' turn
        shown = show(fake_x.detach(), fake_y.detach(), one, two)
        system.disc.requires_grad_(True)
        of_disc = descend(disc, disc_loss(x, y, *shown))
        # and now the makers', against the critics as they are then
        system.disc.requires_grad_(False)
        played = game(fake_x, fake_y)
        of_gen = descend(gen, paid + played)
        return of_disc, of_gen

    return step


System = Pix2pix | CycleGAN | MUNIT
SYSTEMS = {
    "pix2pix": (Pix2pix, paired),
    "cyclegan": (CycleGAN, unpaired),
    "munit": (MUNIT, unpaired),
}


def stepper(
    name: str,
    system: System,
    compiled: bool = False,
) -> tuple[Step, nn.Module]:
    """A step of both players on bytes, and the makers that samples are of: averaged where there is an average."""
    _, made = SYSTEMS[name]
    descents = made(system, compiled)
    decay = system.net.ema.decay
    if not decay:
        average, makers = None, system.gen
    else:
        average = Average(system.gen, decay)
        makers = average.model

    def step(first: Tensor, second: Tensor, one: Tensor, two: Tensor) -> Both:
        # bytes until here
        x = signed(first)
        y = signed(second)
        losses = descents(x, y, one, two)
        if average is not None:
            average.update()
        return losses

    return step, makers


# --- training ---------------------------------------------------------------------------------------------------------

CHOICES = {  # name -> (memory format, calls of a critic)
    "channels first, data and samples in one batch": (torch.contiguous_format, 1),
    "channels first, data and samples in two batches": (torch.contiguous_format, 2),
    "channels last, data and samples in one batch": (torch.channels_last, 1),
    "channels last, data and samples in two batches": (torch.channels_last, 2),
}


@torch.no_grad()
def begun(system: System) -> None:
    """Normal kernels."""
    for p in system.parameters():
        # no biases or norms
        if p.ndim > 1:
            p.normal_(0.0, START)


def trainer(
    name: str,
    path: str,
    text: str,
    choice: str,
    compiled: bool = False,
) -> Run:
    """A function that trains so many steps more on the pictures of the file at `path`; `text`: the sizes."""
    net = tasks.read(name, text)
    layout, calls = CHOICES[choice]
    kind, _ = SYSTEMS[name]
    system = kind(net, calls)
    begun(system)
    system.to(memory_format=layout)
    step, _ = stepper(name, system, compiled)
    # bytes in memory, a batch is one `index_select` of either
    first, second = map(side_torch.channels_first, np.load(path))
    # each in an order of its own: who belongs to whom is of no matter to speed
    rows = side_torch.shuffled(len(first), net.batch)
    others = side_torch.shuffled(len(second), net.batch)

    def train(steps: int) -> None:
        total = torch.zeros(())
        for _ in range(steps):
            x = first.index_select(0, next(rows))
            y = second.index_select(0, next(others))
            one, two = system.draw()
            of_disc, of_gen = step(x, y, one, two)
            total += of_disc + of_gen
        side_torch.demand_finite(total)

    return train


def work(
    side: str,
    job: str,
    name: str,
    path: str,
    text: str,
    *how: str,
) -> None:
    """Chooses the order of maps, calls and threads, or does steps with what was chosen."""
    make = functools.partial(trainer, name, path, text)
    side_torch.work(side, make, CHOICES, how)


# --- the check --------------------------------------------------------------------------------------------------------


def channels_last(x: Tensor) -> np.ndarray:
    """Maps [B, C, H, W] as ours are; scores and styles as they are."""
    if x.ndim == 4:
        x = x.permute(0, 2, 3, 1)
    return x.numpy()


def maps(images: Tensor) -> Tensor:
    """Bytes [B, H, W, C] as [B, C, H, W]."""
    return images.permute(0, 3, 1, 2)


def check(name: str, text: str, path: str, out: str) -> None:
    """Prints {"parameters", "loss", "grad_norm"} of steps on the draws at `path`; saves outputs, samples at `out`."""
    given = side_torch.saved(path)
    net = tasks.read(name, text)
    kind, _ = SYSTEMS[name]
    system = kind(net)
    side_torch.given_weights(system, given)
    x = signed(maps(given["given first"]))
    y = signed(maps(given["given second"]))
    told = given["told"]
    # before the first step
    with torch.no_grad():
        outputs = system.outputs(x, y, told)
    # draws and batches are those of our steps
    step, makers = stepper(name, system)
    found = side_torch.empty_report(system)
    drawn = [given[place] for place in ("first", "second", "one", "two")]
    steps = zip(*drawn, strict=True)
    for first, second, one, two in itertools.islice(steps, CHECKED):
        losses = step(maps(first), maps(second), one, two)
        found["loss"] += [loss.item() for loss in losses]
        for player in (system.disc, system.gen):
            length = side_torch.gradient_norm(player)
            found["grad_norm"].append(length)
    with torch.no_grad():
        made = system.sample(makers, x, told)
    saved = {f"out {net}": channels_last(value) for net, value in outputs.items()}
    samples = channels_last(0.5 * (made + 1.0))
    np.savez(out, **saved, samples=samples)
    print(json.dumps(found))


def main(side: str, *args: str) -> None:
    torch.manual_seed(0)
    if side == "check":
        return check(*args)
    work(side, *args)


if __name__ == "__main__":
    main(*sys.argv[1:])
