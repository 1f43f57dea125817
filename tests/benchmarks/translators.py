"""Small systems of `benchmarks.tasks.translate`, no two of whose numbers are alike where they can be confused."""

from benchmarks.tasks import translate as tasks

TX = tasks.Adam(5e-6, 0.5, 0.999, 1e-4)
PLAYERS = (TX, TX._replace(b1=0.4))
DOMAINS = {"batch": 8, "channels": 3}
TINY = {
    "pix2pix": tasks.Pair(
        tasks.Unet((8, 12), 1, 2, True),
        tasks.Patches((6, 10), 1, 4, False),
        *PLAYERS,
        tasks.Average(0.0),
        latent=3,
        weight=7.0,
        play=2.0,
        batch=16,
        channels=3,
    ),
    "cyclegan": tasks.Cycle(
        tasks.Resnet((8, 12), 1, 2),
        tasks.Patches((6, 16), 2, 4, True),
        *PLAYERS,
        tasks.Average(0.9),
        cycle=3.0,
        identity=0.7,
        pool=5,
        **DOMAINS,
    ),
    "munit": tasks.Styles(
        tasks.Content((8, 12), 1, 2),
        tasks.Reader((6, 10), 2),
        tasks.Decoder((8, 12), 1, 2, 14),
        tasks.Patches((6, 10), 2, 4, False),
        *PLAYERS,
        tasks.Average(0.9),
        style=4,
        picture=3.0,
        same_content=2.0,
        same_style=1.5,
        **DOMAINS,
    ),
}
