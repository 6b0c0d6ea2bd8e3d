#include "app/report_style.h"

namespace penstock {

// A stage's name is the class of its colour. Inside a segment its name has a contrast of 4.5 or more in both schemes.
std::string_view report_style() {
  return R"css(
:root {
  --page: #f3f5f8; --card: #fff; --ink: #18212e; --soft: #566376; --line: #e3e8ee; --track: #edf0f4; --edge: #dde3ea;
  --inside: #fff; --accent: #2f63c9; --good: #0b7a4b; --fair: #9a5b00; --bad: #b42525;
  --prefill: #2f63c9; --decode: #0b7f74; --draft: #7a4cc2; --sample: #a8640a;
  --load: #5f6b7e; --plan: #7d6a55; --capture: #8a5a44; --read: #56762a; --write: #786a10;
  --tokenize: #b03a6e; --detokenize: #8e4a9e; --schedule: #4653a8; --upload: #38739e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141b; --card: #171e27; --ink: #e7ecf3; --soft: #9aa7b8; --line: #28323f; --track: #212a36; --edge: #252f3b;
    --inside: #0f141b; --accent: #7aa5ff; --good: #4fd39a; --fair: #f0b04f; --bad: #ff8a80;
    --prefill: #7aa5ff; --decode: #3ecfbd; --draft: #b694f5; --sample: #f0b04f;
    --load: #9aa7ba; --plan: #c4ad90; --capture: #d4a086; --read: #a5c96b; --write: #d3c156;
    --tokenize: #f08fb5; --detokenize: #cf9be0; --schedule: #a0abf2; --upload: #86bfe6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 40px; }
header { margin: 0 0 20px; }
h1 { margin: 2px 0; font-size: 26px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 16px; }
h3 { margin: 0; font-size: 13px; font-weight: 600; }
p { margin: 0; }
.brand { color: var(--soft); font-size: 13px; }
.brand b { color: var(--accent); }
.facts, .say, footer { color: var(--soft); font-size: 13px; }
.status { display: inline-block; margin-top: 10px; padding: 2px 10px; border: 1px solid; border-radius: 99px;
  font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 12px; margin: 0 0 16px; }
.tiles div, section { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; }
.tiles div { padding: 12px 14px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; font-size: 22px; font-weight: 600; line-height: 1.25; }
.tiles small { display: block; color: var(--soft); font-size: 12px; font-weight: 400; }
.grid { display: flex; flex-wrap: wrap; gap: 16px; }
.wide { flex: 1 1 100%; }
.half { flex: 1 1 440px; }
section { padding: 16px 18px; min-width: 0; }
.say { margin: 2px 0 14px; max-width: 100ch; text-wrap: pretty; }
figure { margin: 0; min-width: 0; }
figure + figure { margin-top: 14px; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline; margin-bottom: 6px; }
.key { color: var(--soft); font-size: 12px; white-space: nowrap; }
.parts { display: grid; gap: 18px 28px; grid-template-columns: minmax(0, 1fr); }
table { width: 100%; border-collapse: collapse; font-size: 13px; }
th, td { padding: 3px 0 3px 10px; text-align: right; font-weight: 400; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
tr > :first-child { padding-left: 0; text-align: left; }
thead th { color: var(--soft); font-size: 12px; vertical-align: bottom; white-space: normal; }
tbody tr:last-child > * { border-bottom: 0; }
.scroll { overflow-x: auto; }
figure + .scroll { margin-top: 10px; }
details { margin-top: 10px; }
summary { color: var(--soft); font-size: 12px; cursor: pointer; width: max-content; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
i.swatch { display: inline-block; width: 10px; height: 10px; margin-right: 7px; border-radius: 2px; background: var(--c); }
footer { margin-top: 18px; }
svg.plot { display: block; width: 100%; overflow: visible; }
svg svg { overflow: visible; }
svg.gutter { margin-left: 44px; width: calc(100% - 44px); }
text { font-size: 11.5px; fill: var(--soft); }
text.label { font-size: 13px; fill: var(--ink); }
text.note { font-size: 12px; }
text.inside { fill: var(--inside); pointer-events: none; }
text.percentile-name { fill: var(--ink); font-weight: 600; font-size: 11px; }
line { stroke: var(--line); shape-rendering: crispEdges; }
line.axis { stroke: var(--soft); stroke-opacity: .6; }
line.limit { stroke: var(--bad); stroke-dasharray: 5 4; }
line.percentile { stroke: var(--ink); stroke-dasharray: 2 3; }
rect { fill: var(--c, var(--accent)); }
rect.track { fill: var(--track); }
rect.shaded { fill-opacity: .35; }
rect.slice { fill: transparent; }
rect.mark:hover, rect.shaded:hover { filter: brightness(1.12); }
rect.slice:hover { fill: var(--ink); fill-opacity: .08; }
path { fill: none; vector-effect: non-scaling-stroke; }
path.area { fill: var(--c); fill-opacity: .22; }
path.edge { stroke: var(--c); stroke-width: 1.5; stroke-linejoin: round; }
.prefill { --c: var(--prefill); } .decode { --c: var(--decode); } .draft { --c: var(--draft); }
.sample { --c: var(--sample); } .load_weights { --c: var(--load); } .plan_memory { --c: var(--plan); }
.capture_graphs { --c: var(--capture); } .read { --c: var(--read); } .write { --c: var(--write); }
.tokenize { --c: var(--tokenize); } .detokenize { --c: var(--detokenize); } .schedule { --c: var(--schedule); }
.upload { --c: var(--upload); } .error { --c: var(--bad); }
@media (min-width: 1080px) {
  .tiles { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); }
  .two { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); }
  .three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
}
@media (max-width: 480px) {
  main { padding: 16px 12px 28px; }
  h1 { font-size: 21px; }
  section { padding: 14px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; margin-bottom: 12px; }
  .tiles dd { font-size: 19px; }
  .grid { gap: 12px; }
  table { font-size: 12px; }
  th, td { padding-left: 6px; }
  .two tr > :last-child { display: none; }
}
@media print { body { background: none; } section { break-inside: avoid; } }
)css";
}

}  // namespace penstock
