// The report page's plots. Each gives one <svg>; shapes that stand for data have the class "mark".
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/svg_canvas.h"

namespace penstock {

// Values over time, as steps: each is the mean over its interval.
struct TimePlot {
  PlotName name;
  double interval = 1, seconds = 0;  // of a value; of all of them, the last one may be shorter
  struct Layer {
    std::string css, name;
    std::vector<double> values;
  };
  std::vector<Layer> layers;  // one on the other, the first one lowest; as many values each
  std::string unit;
  std::optional<double> limit;  // a line at this value
  bool whole_numbers = false;   // on the axis
};
std::string time_plot(const TimePlot& plot);

// Bars that are divided into segments, each bar under its label.
struct StackedBar {
  std::string label, note;
  struct Segment {
    std::string css, name;
    double value = 0;
    std::string text;  // the value with its unit
  };
  std::vector<Segment> segments;
};
struct BarSize {
  double full = 1;     // the value of the whole width
  double height = 26;  // pixels
};
std::string stacked_bars(const PlotName& name, const std::vector<StackedBar>& bars, const BarSize& size);

// Standing bars, the upper part of each in another shade.
struct ColumnPlot {
  PlotName name;
  struct Column {
    std::string label, tooltip;
    double value = 0, shaded = 0;  // of value
  };
  std::vector<Column> columns;
  std::string unit;  // of values
};
std::string column_plot(const ColumnPlot& plot);

// How often which duration occurred, on a logarithmic axis. counts[i]: from edges[i] to edges[i + 1], whose ratio is
// the same for all i.
struct DistributionPlot {
  PlotName name;
  std::vector<double> edges, counts;
  struct Mark {
    std::string name;
    double value = 0;
  };
  std::vector<Mark> marks;  // ascending
};
std::string distribution_plot(const DistributionPlot& plot);

}  // namespace penstock
