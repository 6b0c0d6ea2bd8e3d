// The plot of a histogram whose axis is logarithmic.
#include <algorithm>
#include <cmath>

#include "app/number_text.h"
#include "app/svg_plot.h"

namespace penstock {

namespace {

using Anchor = SvgCanvas::Anchor;

constexpr double kTop = 44, kBottom = 164;  // percentiles are named above the bars
constexpr size_t kMostBars = 36, kFewestPlaces = 14;

struct Bars {
  double first = 0;  // where the first place begins, in seconds
  double ratio = 2;  // of a place's end to its beginning
  std::vector<double> counts;

  double end() const { return first * std::pow(ratio, static_cast<double>(counts.size())); }
  double x(double seconds) const { return 100 * std::log(seconds / first) / std::log(end() / first); }
};

// Neighbours put together until they can be told apart, with empty places around them.
Bars make_bars(const DistributionPlot& plot) {
  const size_t group = (plot.counts.size() + kMostBars - 1) / kMostBars;
  const size_t used = (plot.counts.size() + group - 1) / group;
  const size_t margin = std::max<size_t>(1, used < kFewestPlaces ? (kFewestPlaces - used) / 2 : 0);
  Bars bars;
  bars.ratio = std::pow(plot.edges[1] / plot.edges[0], static_cast<double>(group));
  bars.first = plot.edges[0] / std::pow(bars.ratio, static_cast<double>(margin));
  bars.counts.resize(used + 2 * margin);
  for (size_t i = 0; i < plot.counts.size(); ++i) bars.counts[margin + i / group] += plot.counts[i];
  return bars;
}

// Round durations inside the axis: powers of ten of a unit when they are enough, else with numbers between them. On a
// phone a name takes up to 17 % of the width: what stands closer is left out.
std::vector<double> round_durations(const Bars& bars) {
  const std::vector<double> bases = {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36000, 360000};
  const std::vector<std::vector<double>> choices = {{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 7}};
  std::vector<double> found;
  for (const std::vector<double>& factors : choices) {
    found.clear();
    for (size_t i = 0; i + 1 < bases.size(); ++i)
      for (const double factor : factors) {
        const double value = factor * bases[i], x = bars.x(value);
        if (value >= bases[i + 1] || x < 0 || x > 100) continue;
        if (found.empty() || x - bars.x(found.back()) > 17) found.push_back(value);
      }
    if (found.size() >= 3) break;
  }
  return found;
}

void draw_axes(SvgCanvas& canvas, const Bars& bars, const Ticks& ticks) {
  for (int i = 0; i <= ticks.count; ++i) {
    const double y = kBottom - (kBottom - kTop) * i / ticks.count;
    canvas.horizontal(i == 0 ? "axis" : "grid", y);
    canvas.label_y(y, short_count_text(ticks.step * i));
  }
  for (const double value : round_durations(bars)) {
    const double x = bars.x(value);
    canvas.vertical("axis", x, kBottom, kBottom + 4);
    canvas.text("tick", x, kBottom + 17, Anchor::middle, seconds_text(value));
  }
}

// The marks may stand close together. Names are to the left of their lines, the largest mark's highest: so no line runs
// through a name.
void draw_marks(SvgCanvas& canvas, const DistributionPlot& plot, const Bars& bars) {
  double y = 13 * static_cast<double>(plot.marks.size());
  for (const DistributionPlot::Mark& mark : plot.marks) {
    y -= 13;
    const double x = std::clamp(bars.x(mark.value), 0.0, 100.0);
    const bool has_room = x > 12;
    canvas.vertical("percentile", x, y + 2, kBottom);
    canvas.text("percentile-name", has_room ? x - 1.5 : x + 1.5, y + 11, has_room ? Anchor::end : Anchor::start,
                mark.name);
  }
}

}  // namespace

std::string distribution_plot(const DistributionPlot& plot) {
  SvgCanvas canvas(plot.name, 188, true);
  const Bars bars = make_bars(plot);
  const Ticks ticks = ticks_for(*std::max_element(bars.counts.begin(), bars.counts.end()), 4, true);
  draw_axes(canvas, bars, ticks);
  const double width = 100.0 / static_cast<double>(bars.counts.size());
  for (size_t i = 0; i < bars.counts.size(); ++i) {
    if (bars.counts[i] == 0) continue;
    const double height = (kBottom - kTop) * bars.counts[i] / ticks.end();
    const double from = bars.first * std::pow(bars.ratio, static_cast<double>(i));
    canvas.rect("mark", {static_cast<double>(i) * width + 0.08 * width, kBottom - height, 0.84 * width, height},
                seconds_text(from) + " to " + seconds_text(from * bars.ratio) + ": " + count_text(bars.counts[i]));
  }
  draw_marks(canvas, plot, bars);
  return canvas.finish();
}

}  // namespace penstock
