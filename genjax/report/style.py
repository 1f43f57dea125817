"""How a report looks: one style sheet for light and dark, phones and paper.

Okabe and Ito, "Color universal design" (2008): curves in colours that the colour-blind can tell apart. Of their eight,
those with contrast 3:1 to the page are taken; on white their orange is darkened to brown. Each curve has dashes too.
"""

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f7f9",
    "ink": "#1b1f24",
    "soft": "#57606a",
    "edge": "#d5dbe1",
    "link": "#005a9c",
    "c0": "#0072b2",
    "c1": "#d55e00",
    "c2": "#009e73",
    "c3": "#cc79a7",
    "c4": "#000000",
    "c5": "#6e4a00",
}
DARK = {
    "paper": "#0f1317",
    "raised": "#181d23",
    "ink": "#e6eaef",
    "soft": "#9aa6b2",
    "edge": "#333c46",
    "link": "#7cc0ff",
    "c0": "#56b4e9",
    "c1": "#e69f00",
    "c2": "#009e73",
    "c3": "#cc79a7",
    "c4": "#f0e442",
    "c5": "#d55e00",
}
COLOURS = 6
DASHES = (
    "",
    "7 3",
    "2 2.5",
    "9 3 2 3",
    "4 2",
    "12 3 2 3 2 3",
    "1 4",
)  # 7 and 6 have no common factor: 42 curves differ


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


_CURVES = "\n".join(
    f".c{i} {{ stroke: var(--c{i}); fill: var(--c{i}); }}" for i in range(COLOURS)
)
_DASHES = "\n".join(
    f".d{i} {{ stroke-dasharray: {dash}; }}" for i, dash in enumerate(DASHES) if dash
)

CSS = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; }}
body {{ margin: 0 auto; max-width: 74rem; padding: 2.5rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word; }}
h1, h2, h3, h4 {{ line-height: 1.25; text-wrap: balance; }}
h1 {{ margin: 0 0 .4rem; font-size: 2rem; letter-spacing: -.01em; }}
h2 {{ margin: 2.75rem 0 1rem; font-size: 1.35rem; border-bottom: 1px solid var(--edge); padding-bottom: .35rem; }}
h3, h4 {{ margin: 2rem 0 .75rem; font-size: 1.1rem; }}
summary h3 {{ display: inline; margin: 0; }}
p {{ margin: .5rem 0; max-width: 46rem; }}
a {{ color: var(--link); text-underline-offset: .15em; }}
:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
code, pre {{ font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
code {{ overflow-wrap: anywhere; }}
pre {{ margin: .5rem 0 1rem; padding: .7rem .9rem; background: var(--raised); border: 1px solid var(--edge);
  border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }}
.over {{ margin: 0; color: var(--soft); font-size: .9rem; }}
.question {{ font-size: 1.15rem; max-width: 52rem; }}
.note, figcaption, .legend, footer {{ color: var(--soft); font-size: .875rem; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }}
nav a {{ display: inline-block; padding: .25rem 0; }}
dl {{ margin: 1.25rem 0; }}
dd {{ margin: 0; }}
dt {{ color: var(--soft); font-size: .85rem; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }}
.tiles div {{ padding: .6rem .85rem .7rem; background: var(--raised); border-radius: 6px; }}
.tiles dd {{ font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.35; }}
.terms div {{ display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: 1rem; padding: .3rem 0; }}
.terms dt {{ line-height: 1.8; }}
.scroll {{ overflow-x: auto; margin: 1rem 0 1.5rem; max-width: 100%; }}
table {{ border-collapse: collapse; font-size: .925rem; font-variant-numeric: tabular-nums; }}
caption {{ padding: 0 0 .4rem; font-weight: 600; text-align: left; }}
th, td {{ padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--edge); text-align: left; vertical-align: top; }}
th {{ font-weight: 500; }}
thead th {{ color: var(--soft); font-size: .85rem; vertical-align: bottom; }}
th code {{ white-space: nowrap; }}
td code {{ overflow-wrap: break-word; }}
.tables > details {{ flex: 0 0 100%; }}
.metrics td {{ min-width: 10rem; text-wrap: balance; }}
.tables {{ display: flex; flex-wrap: wrap; gap: 0 3.5rem; align-items: flex-start; }}
.wide th, .wide td {{ white-space: nowrap; vertical-align: middle; }}
.wide tr > :first-child {{ position: sticky; left: 0; background: var(--paper); padding-right: .75rem; }}
.wide thead tr + tr > :first-child {{ position: static; }}
.wide td div {{ white-space: normal; width: max-content; max-width: 11.5rem;
  text-wrap: balance; }}
.wide [scope=colgroup] {{ color: var(--ink); }}
.wide td img {{ width: 6rem; max-width: none; }}
figure {{ margin: 0; min-width: 0; }}
img {{ display: block; max-width: 100%; height: auto; border-radius: 3px; }}
.small {{ image-rendering: pixelated; }}
.pictures {{ display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }}
.pictures figure {{ max-width: 100%; }}
.pictures figcaption, .over-time figcaption {{ padding-top: .35rem; }}
.over-time {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: 1.25rem; }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.75rem; }}
.chart figcaption {{ color: var(--ink); font-weight: 600; }}
.chart figcaption span {{ color: var(--soft); font-weight: 400; }}
.chart > svg {{ display: block; width: 100%; height: auto; overflow: visible; }}
svg text {{ fill: var(--soft); font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }}
svg .end {{ fill: var(--ink); }}
{_CURVES}
{_DASHES}
.grid {{ stroke: var(--edge); stroke-width: 1; }}
.floor {{ stroke: var(--soft); stroke-width: 1; }}
.curve {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; }}
.leader {{ stroke-width: 1; }}
.band {{ stroke: none; fill-opacity: .16; }}
.legend {{ display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .15rem 0 0; padding: 0; list-style: none; }}
.legend svg {{ width: 30px; height: 10px; margin-right: .4rem; }}
.legend b {{ color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }}
details {{ margin: 1rem 0; border: 1px solid var(--edge); border-radius: 6px; padding: 0 1rem; }}
summary {{ cursor: pointer; margin: 0 -1rem; padding: .7rem 1rem; font-weight: 600; }}
.moving {{ margin: 0; border: 0; padding: 0; }}
.moving summary {{ margin: 0; padding: 0 0 .3rem; font-weight: 400; font-size: .875rem; }}
footer {{ margin-top: 3.5rem; border-top: 1px solid var(--edge); padding-top: .75rem; }}
@media (max-width: 40rem) {{ body {{ padding: 1.25rem .9rem 2rem; }} h1 {{ font-size: 1.6rem; }}
  .terms div {{ grid-template-columns: minmax(0, 1fr); gap: 0; }} .tiles {{ grid-template-columns: 1fr 1fr; }}
  .wide td img {{ width: 4.5rem; }} .wide [scope=row] {{ white-space: normal; overflow-wrap: anywhere;
  min-width: 6rem; }} }}
@media print {{ body {{ max-width: none; padding: 0; }} nav {{ display: none; }} figure, tr {{
  break-inside: avoid; }} }}
"""
