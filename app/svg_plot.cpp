#include "app/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "app/number_text.h"

namespace penstock {

namespace {

using Anchor = SvgCanvas::Anchor;

// Where the data lies between the top of a plot and its x axis, in pixels.
struct Frame {
  double top, bottom, largest;
  double y(double value) const { return bottom - (bottom - top) * value / largest; }
};

Frame draw_y_axis(SvgCanvas& canvas, double top, double bottom, const Ticks& ticks, const std::string& unit = {}) {
  const Frame frame{top, bottom, ticks.end()};
  for (int i = 0; i <= ticks.count; ++i) {
    const double y = frame.y(ticks.step * i);
    canvas.horizontal(i == 0 ? "axis" : "grid", y);
    canvas.label_y(y, short_count_text(ticks.step * i) + (unit.empty() ? "" : " " + unit));
  }
  return frame;
}

// ---- over time

constexpr double kTimeTop = 8, kTimeBottom = 124;
constexpr size_t kMaxSlices = 80;  // tooltips

void draw_time_axis(SvgCanvas& canvas, double seconds) {
  const double step = time_step_for(seconds, 4);
  for (int i = 0; i * step <= seconds * (1 + 1e-9); ++i) {
    const double x = 100 * i * step / seconds;
    canvas.vertical("axis", x, kTimeBottom, kTimeBottom + 4);
    canvas.text("tick", x, kTimeBottom + 17, Anchor::middle, time_tick_text(i * step, step));
  }
}

// The upper edge of a layer, or its area down to `below`.
void draw_layer(SvgCanvas& canvas, const TimePlot& plot, const std::string& css, const std::vector<double>& above,
                const std::vector<double>& below, const Frame& frame) {
  std::vector<SvgCanvas::Point> edge, area;
  const auto x = [&](size_t i) { return 100 * std::min(static_cast<double>(i) * plot.interval / plot.seconds, 1.0); };
  for (size_t i = 0; i < above.size(); ++i)
    for (const size_t side : {i, i + 1}) edge.push_back({x(side), frame.y(above[i])});
  area = edge;
  for (size_t i = below.size(); i-- > 0;)
    for (const size_t side : {i + 1, i}) area.push_back({x(side), frame.y(below[i])});
  canvas.path("mark area " + css, area, frame.top, frame.bottom);
  canvas.path("edge " + css, edge, frame.top, frame.bottom);
}

void draw_slices(SvgCanvas& canvas, const TimePlot& plot, size_t points) {
  const size_t step = (points + kMaxSlices - 1) / kMaxSlices;
  for (size_t first = 0; first < points; first += step) {
    const size_t end = std::min(first + step, points);
    const double from = static_cast<double>(first) * plot.interval;
    const double to = std::min(static_cast<double>(end) * plot.interval, plot.seconds);
    std::string text = "at " + seconds_text(from) + ":";
    for (const TimePlot::Layer& layer : plot.layers) {
      const double sum = std::accumulate(layer.values.begin() + first, layer.values.begin() + end, 0.0);
      text += (&layer == &plot.layers.front() ? " " : ", ") + count_text(sum / static_cast<double>(end - first));
      if (!layer.name.empty()) text += " " + layer.name;
    }
    canvas.rect("slice",
                {100 * from / plot.seconds, kTimeTop, 100 * (to - from) / plot.seconds, kTimeBottom - kTimeTop},
                text + " " + plot.unit);
  }
}

}  // namespace

std::string time_plot(const TimePlot& plot) {
  SvgCanvas canvas(plot.name, 146, true);
  const size_t points = plot.layers.front().values.size();
  std::vector<std::vector<double>> sums{std::vector<double>(points, 0.0)};
  for (const TimePlot::Layer& layer : plot.layers) {
    sums.push_back(sums.back());
    for (size_t i = 0; i < points; ++i) sums.back()[i] += layer.values[i];
  }
  const double peak = *std::max_element(sums.back().begin(), sums.back().end());
  const Ticks ticks = ticks_for(std::max(peak, plot.limit.value_or(0)), 4, plot.whole_numbers);
  const Frame frame = draw_y_axis(canvas, kTimeTop, kTimeBottom, ticks);
  draw_time_axis(canvas, plot.seconds);
  for (size_t i = plot.layers.size(); i-- > 0;)  // where an upper layer is 0, the lower one's edge shows
    draw_layer(canvas, plot, plot.layers[i].css, sums[i + 1], sums[i], frame);
  if (plot.limit) canvas.horizontal("limit", frame.y(*plot.limit));
  draw_slices(canvas, plot, points);
  return canvas.finish();
}

// ---- stacked bars

std::string stacked_bars(const PlotName& name, const std::vector<StackedBar>& bars, const BarSize& size) {
  constexpr double kAbove = 19, kBetween = 10;
  const double pitch = kAbove + size.height + kBetween;
  SvgCanvas canvas(name, static_cast<int>(pitch * static_cast<double>(bars.size()) - kBetween), false);
  double y = 0;
  for (const StackedBar& bar : bars) {
    canvas.text("label", 0, y + 12, Anchor::start, bar.label);
    canvas.text("note", 100, y + 12, Anchor::end, bar.note);
    canvas.rect("track", {0, y + kAbove, 100, size.height});
    double x = 0;
    for (const StackedBar::Segment& segment : bar.segments) {
      const double width = 100 * segment.value / size.full;
      canvas.rect("mark " + segment.css, {x, y + kAbove, width, size.height},
                  (segment.name.empty() ? bar.label : segment.name) + ": " + segment.text);
      // A letter takes about 2 % of the narrowest screen.
      if (width > 4 + 2.2 * static_cast<double>(segment.name.size()))
        canvas.text("inside", x + width / 2, y + kAbove + size.height / 2 + 4, Anchor::middle, segment.name);
      x += width;
    }
    y += pitch;
  }
  return canvas.finish();
}

// ---- columns

std::string column_plot(const ColumnPlot& plot) {
  constexpr double kTop = 8, kBottom = 164;
  SvgCanvas canvas(plot.name, 188, true);
  double largest = 0;
  for (const ColumnPlot::Column& column : plot.columns) largest = std::max(largest, column.value);
  const Frame frame = draw_y_axis(canvas, kTop, kBottom, ticks_for(largest, 4), plot.unit);
  const size_t count = plot.columns.size(), every = (count + 6) / 7;  // names
  const double pitch = 100.0 / static_cast<double>(count), width = std::min(0.72 * pitch, 14.0);
  for (size_t i = 0; i < count; ++i) {
    const ColumnPlot::Column& column = plot.columns[i];
    const double middle = (static_cast<double>(i) + 0.5) * pitch, left = middle - width / 2;
    const double top = frame.y(column.value), divide = frame.y(column.value - column.shaded);
    canvas.rect("mark", {left, divide, width, kBottom - divide}, column.tooltip);
    canvas.rect("shaded", {left, top, width, divide - top}, column.tooltip);
    if (i % every == 0) canvas.text("tick", middle, kBottom + 17, Anchor::middle, column.label);
  }
  return canvas.finish();
}

}  // namespace penstock
