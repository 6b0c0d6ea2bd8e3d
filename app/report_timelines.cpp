// The report page's plots over time and of latencies.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "app/number_text.h"
#include "app/report_sections.h"
#include "app/svg_plot.h"

namespace penstock {

namespace {

struct TimeSeries {
  double interval = 0, seconds = 0;
  std::vector<double> prefill, decode, sequences, blocks;
};

TimeSeries read_series(const OrderedJson& json) {
  const auto list = [&](const char* key) { return json.at(key).get<std::vector<double>>(); };
  return {json.at("interval_seconds").get<double>(),
          json.at("seconds").get<double>(),
          list("prefill_tokens_per_second"),
          list("decode_tokens_per_second"),
          list("sequences"),
          list("kv_blocks")};
}

double largest(const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); }

std::string key(const std::string& css, const std::string& text) {
  return "<span class=\"key\"><i class=\"swatch " + css + "\"></i>" + escape_markup(text) + "</span>";
}

std::string figure(const std::string& title, const std::string& keys, const std::string& plot) {
  return "<figure><figcaption><h3>" + escape_markup(title) + "</h3>" + keys + "</figcaption>\n" + plot + "</figure>\n";
}

std::string throughput(const TimeSeries& series) {
  TimePlot plot;
  plot.interval = series.interval, plot.seconds = series.seconds;
  plot.layers = {{"decode", "decode", series.decode}, {"prefill", "prefill", series.prefill}};
  plot.unit = "tokens/s";
  const std::string prefill = "prefill, up to " + short_count_text(largest(series.prefill));
  const std::string decode = "decode, up to " + short_count_text(largest(series.decode));
  plot.name = {"throughput", "Tokens a second over time", decode + "; " + prefill};
  return figure("Tokens a second", key("decode", decode) + key("prefill", prefill), time_plot(plot));
}

// A limit that is far above the data would press the data flat: it is then only told.
std::string gauge(const TimeSeries& series, const PlotName& name, const std::string& css,
                  const std::vector<double>& values, const std::string& unit, double peak, double limit) {
  TimePlot plot;
  plot.interval = series.interval, plot.seconds = series.seconds;
  plot.layers = {{css, "", values}};
  plot.unit = unit;
  plot.whole_numbers = true;
  if (limit > 0 && limit <= 2 * peak) plot.limit = limit;
  std::string text = "up to " + count_text(peak);
  if (limit > 0) text += " of " + count_text(limit);
  plot.name = name;
  plot.name.description = text;
  return figure(name.title, key(css, text), time_plot(plot));
}

// At most a dozen rows, each the mean of its points.
ReportTable series_table(const TimeSeries& series) {
  ReportTable table{{"from", "prefill tokens/s", "decode tokens/s", "sequences", "KV blocks"}, {}};
  const size_t points = series.decode.size(), step = (points + 11) / 12;
  for (size_t first = 0; first < points; first += step) {
    const size_t end = std::min(first + step, points);
    const auto mean = [&](const std::vector<double>& values) {
      return short_count_text(std::accumulate(values.begin() + first, values.begin() + end, 0.0) /
                              static_cast<double>(end - first));
    };
    table.rows.push_back({{seconds_text(static_cast<double>(first) * series.interval), mean(series.prefill),
                           mean(series.decode), mean(series.sequences), mean(series.blocks)}});
  }
  return table;
}

std::string distribution(const OrderedJson& latency, const PlotName& name, const std::string& css) {
  DistributionPlot plot;
  plot.name = name;
  plot.edges = latency.at("histogram").at("edges").get<std::vector<double>>();
  plot.counts = latency.at("histogram").at("counts").get<std::vector<double>>();
  if (plot.counts.empty()) return "";
  for (const char* percentile : {"p50", "p90", "p99"}) {
    const double value = latency.at(percentile).get<double>();
    plot.marks.push_back({percentile, value});
    plot.name.description +=
        std::string(plot.name.description.empty() ? "" : ", ") + percentile + " " + seconds_text(value);
  }
  ReportTable table{{}, {{}}, /*named_rows=*/false};
  for (const char* column : {"mean", "p50", "p90", "p99", "max"}) {
    table.head.push_back(column);
    table.rows[0].cells.push_back(seconds_text(latency.at(column).get<double>()));
  }
  const std::string count = short_count_text(latency.at("count").get<double>()) + " sequences";
  return "<div class=\"" + css + "\">" + figure(name.title, key(css, count), distribution_plot(plot)) +
         table_markup(table) + "</div>\n";
}

}  // namespace

std::string time_section(const OrderedJson& report) {
  if (!report.contains("time_series") || report["time_series"]["sequences"].empty()) return "";
  const TimeSeries series = read_series(report["time_series"]);
  const double block_size = report_number(report, "/kv/block_size");
  const std::string body =
      throughput(series) +
      gauge(series, {"batch", "Batch: sequences in a step", ""}, "schedule", series.sequences, "sequences",
            std::round(largest(series.sequences)), report_number(report, "/limits/max_batch")) +
      gauge(series, {"kv", "KV blocks that sequences hold", ""}, "sample", series.blocks, "blocks",
            report_number(report, "/kv/peak_used_blocks"), report_number(report, "/kv/blocks")) +
      folded(series_table(series));
  return card("wide", "Over time",
              "Time since the model was loaded; each step of the curves is the mean over " +
                  seconds_text(series.interval) + ". A KV block holds " + count_text(block_size) + " tokens.",
              body);
}

std::string latency_section(const OrderedJson& report) {
  if (report_number(report, "/latency_seconds/queue/count") == 0) return "";
  const OrderedJson& all = report["latency_seconds"];
  const std::string plots =
      distribution(all["queue"], {"queue", "In the queue", ""}, "schedule") +
      distribution(all["first_token"], {"first-token", "Until the first token", ""}, "prefill") +
      distribution(all["per_output_token"], {"per-output-token", "Then for each token", ""}, "decode");
  return card("wide", "Latency", "Of sequences, since their request was handed to the engine; the axis is logarithmic.",
              "<div class=\"parts three\">\n" + plots + "</div>\n");
}

}  // namespace penstock
