#include "app/report_sections.h"

#include <algorithm>

#include "app/number_text.h"
#include "app/svg_plot.h"

namespace penstock {

namespace {

double number_of(const OrderedJson& object, const char* key) { return object.value(key, 0.0); }

std::string swatch(const std::string& css) { return css.empty() ? "" : "<i class=\"swatch " + css + "\"></i>"; }

// What runs at the same time: a lane each.
struct Lane {
  const char* name;
  std::vector<std::string> stages;
};
const std::vector<Lane>& lanes() {
  static const std::vector<Lane> all = {{"Start", {"load_weights", "plan_memory", "capture_graphs"}},
                                        {"Lines in and out", {"read", "write"}},
                                        {"Text workers", {"tokenize", "detokenize"}},
                                        {"Engine", {"schedule", "upload"}},
                                        {"Device", {"prefill", "decode", "draft", "sample"}}};
  return all;
}

struct StageView {
  std::vector<StackedBar> bars;
  ReportTable table;
  double longest = 0;  // of the lanes
  std::string spoken;
};

StageView view_stages(const OrderedJson& stages, double wall) {
  StageView view;
  view.table.head = {"Stage", "time", "of wall", "times", "each"};
  for (const Lane& lane : lanes()) {
    StackedBar bar;
    bar.label = lane.name;
    double sum = 0;
    for (const std::string& stage : lane.stages) {
      if (!stages.contains(stage)) continue;
      const double seconds = number_of(stages[stage], "seconds"), count = number_of(stages[stage], "count");
      bar.segments.push_back({stage, stage, seconds, seconds_text(seconds)});
      view.table.rows.push_back({{stage, seconds_text(seconds), share_text(seconds / wall), short_count_text(count),
                                  seconds_text(seconds / count)},
                                 stage});
      sum += seconds;
    }
    if (bar.segments.empty()) continue;
    bar.note = seconds_text(sum) + ", " + share_text(sum / wall);
    view.spoken += (view.spoken.empty() ? "" : "; ") + bar.label + " " + bar.note;
    view.bars.push_back(std::move(bar));
    view.longest = std::max(view.longest, sum);
  }
  return view;
}

// One bar a code, the most frequent first; empty when there are none.
std::string error_bars(const OrderedJson& codes) {
  if (codes.empty()) return "";
  double total = 0, most = 0;
  for (const OrderedJson& count : codes) total += count.get<double>(), most = std::max(most, count.get<double>());
  std::vector<StackedBar> bars;
  for (const auto& [code, count] : codes.items()) {
    const double value = count.get<double>();
    const std::string note = count_text(value) + " (" + share_text(value / total) + ")";
    bars.push_back({code, note, {{"error", "", value, note}}});
  }
  std::stable_sort(bars.begin(), bars.end(),
                   [](const auto& a, const auto& b) { return a.segments[0].value > b.segments[0].value; });
  std::string spoken;
  for (const StackedBar& bar : bars) spoken += (spoken.empty() ? "" : "; ") + bar.label + " " + bar.note;
  return "<figure>" + stacked_bars({"errors", "Error records by code", spoken}, bars, {.full = most, .height = 10}) +
         "</figure>\n";
}

double longest_bucket(const OrderedJson& buckets) {
  double longest = 0;
  for (const OrderedJson& bucket : buckets) longest = std::max(longest, number_of(bucket, "milliseconds") / 1e3);
  return longest;
}

}  // namespace

double report_number(const OrderedJson& report, const char* pointer) {
  return report.value(OrderedJson::json_pointer(pointer), 0.0);
}

std::string table_markup(const ReportTable& table) {
  std::string markup = "<div class=\"scroll\"><table>\n";
  if (!table.head.empty()) {
    markup += "<thead><tr>";
    for (const std::string& name : table.head) markup += "<th scope=\"col\">" + escape_markup(name) + "</th>";
    markup += "</tr></thead>\n";
  }
  markup += "<tbody>\n";
  for (const ReportTable::Row& row : table.rows) {
    markup += "<tr>";
    if (table.named_rows) markup += "<th scope=\"row\">" + swatch(row.css) + escape_markup(row.cells[0]) + "</th>";
    for (size_t i = table.named_rows ? 1 : 0; i < row.cells.size(); ++i)
      markup += "<td>" + escape_markup(row.cells[i]) + "</td>";
    markup += "</tr>\n";
  }
  return markup + "</tbody>\n</table></div>\n";
}

std::string folded(const ReportTable& table) {
  return "<details><summary>As a table</summary>\n" + table_markup(table) + "</details>\n";
}

std::string card(const std::string& css, const std::string& title, const std::string& sentence,
                 const std::string& body) {
  return "<section class=\"" + css + "\">\n<h2>" + escape_markup(title) + "</h2>\n<p class=\"say\">" +
         escape_markup(sentence) + "</p>\n" + body + "</section>\n";
}

std::string stages_section(const OrderedJson& report) {
  const double wall = report_number(report, "/seconds/wall");
  if (!report.contains("stages") || report["stages"].empty() || wall <= 0) return "";
  const StageView view = view_stages(report["stages"], wall);
  const double full = std::max(wall, view.longest);
  std::string sentence = "The lanes work at the same time. The full width is ";
  sentence += full > wall
                  ? seconds_text(full) + ": several threads share a lane, and the run took " + seconds_text(wall) + "."
                  : "the run's " + seconds_text(wall) + ".";
  const std::string figure =
      "<figure>" + stacked_bars({"stages", "Time by stage", view.spoken}, view.bars, {.full = full}) + "</figure>\n";
  return card("wide", "Where the time went", sentence,
              "<div class=\"parts two\">\n" + figure + table_markup(view.table) + "</div>\n");
}

std::string buckets_section(const OrderedJson& report) {
  if (!report.contains("buckets") || report["buckets"].empty()) return "";
  ColumnPlot plot;
  plot.name = {"buckets", "Time by bucket", ""};
  const TimeUnit unit = time_unit_for(longest_bucket(report["buckets"]));
  plot.unit = unit.name;
  ReportTable table{{"Bucket", "steps", "time", "a step", "padding"}, {}};
  double padding = 0, tokens = 0, busiest = 0;
  for (const OrderedJson& bucket : report["buckets"]) {
    const double size = number_of(bucket, "tokens"), steps = number_of(bucket, "steps");
    const double seconds = number_of(bucket, "milliseconds") / 1e3, share = number_of(bucket, "padding_share");
    table.rows.push_back({{count_text(size), short_count_text(steps), seconds_text(seconds),
                           seconds_text(seconds / steps), share_text(share)}});
    plot.columns.push_back({short_count_text(size),
                            "Bucket " + count_text(size) + ": " + count_text(steps) + " steps, " +
                                seconds_text(seconds) + ", " + share_text(share) + " padding",
                            seconds / unit.seconds, seconds / unit.seconds * share});
    padding += size * steps * share;
    tokens += size * steps;
    if (seconds < busiest) continue;
    busiest = seconds;
    plot.name.description =
        "Most time, " + seconds_text(seconds) + ", went to steps of " + count_text(size) + " tokens.";
  }
  const std::string sentence =
      "A step is padded to its bucket of tokens. The pale part of a column is what padding cost: " +
      share_text(padding / tokens) + " of all tokens.";
  return card("half", "Buckets", sentence, "<figure>" + column_plot(plot) + "</figure>\n" + folded(table));
}

std::string kv_section(const OrderedJson& report) {
  if (!report.contains("kv")) return "";
  const OrderedJson& kv = report["kv"];
  const double prompt = number_of(kv, "prompt_tokens"), hits = number_of(kv, "prefix_hit_tokens");
  const auto count = [&](const char* key) { return count_text(number_of(kv, key)); };
  ReportTable table;
  table.rows.push_back({{"Blocks in the pool", count("blocks")}});
  table.rows.push_back({{"Tokens a block", count("block_size")}});
  table.rows.push_back({{"Most blocks in use", count("peak_used_blocks")}});
  table.rows.push_back({{"Prompt tokens", count("prompt_tokens")}});
  table.rows.push_back({{"of them found in the prefix cache",
                         count("prefix_hit_tokens") + (prompt > 0 ? " (" + share_text(hits / prompt) + ")" : "")}});
  table.rows.push_back({{"Preemptions", count("preemptions")}});
  table.rows.push_back({{"Tokens computed again", count("recomputed_tokens")}});
  table.rows.push_back({{"Blocks copied before a write", count("block_copies")}});
  return card("half", "KV cache", "What sequences hold, share and had to give back.", table_markup(table));
}

std::string memory_section(const OrderedJson& report) {
  if (!report.contains("memory")) return "";
  const OrderedJson& plan = report["memory"]["plan"];
  const double total = number_of(plan, "total_bytes");
  StackedBar bar{"Planned", bytes_text(total), {}};
  ReportTable table{{"Of it", "bytes", "share"}, {}};
  const std::vector<std::vector<std::string>> parts = {{"weight_bytes", "weights", "load_weights"},
                                                       {"kv_bytes", "KV blocks", "decode"},
                                                       {"activation_bytes", "activations", "prefill"},
                                                       {"step_bytes", "steps and results", "sample"},
                                                       {"rope_bytes", "RoPE table", "schedule"}};
  for (const std::vector<std::string>& part : parts) {
    const double bytes = number_of(plan, part[0].c_str());
    bar.segments.push_back({part[2], part[1], bytes, bytes_text(bytes)});
    table.rows.push_back({{part[1], bytes_text(bytes), share_text(bytes / total)}, part[2]});
  }
  if (plan.contains("draft")) {
    double bytes = 0;
    for (const auto& [name, part] : plan["draft"].items()) bytes += name == "kv_block_bytes" ? 0 : part.get<double>();
    bar.segments.push_back({"draft", "draft model", bytes, bytes_text(bytes)});
    table.rows.push_back({{"draft model", bytes_text(bytes), share_text(bytes / total)}, "draft"});
  }
  table.rows.push_back({{"Peak on the host", bytes_text(number_of(report["memory"], "peak_host_bytes")), ""}});
  const std::string sentence =
      "The plan of one rank; the device could give " + bytes_text(number_of(plan, "available_bytes")) + ".";
  const std::string figure =
      "<figure>" + stacked_bars({"memory", "Memory plan", bytes_text(total) + " planned"}, {bar}, {.full = total}) +
      "</figure>\n";
  return card("half", "Memory", sentence, figure + table_markup(table));
}

std::string lines_section(const OrderedJson& report) {
  if (!report.contains("requests")) return "";
  ReportTable table;
  const auto add = [&](const char* name, const char* key, bool always) {
    const double count = number_of(report["requests"], key);
    if (always || count > 0) table.rows.push_back({{name, count_text(count)}});
  };
  add("Lines of the input", "lines", true);
  add("of other shards", "other_shards", false);
  add("answered by an earlier run", "already_answered", false);
  add("answered by this run", "answered", true);
  add("error records of this run", "errors", true);
  const std::string errors = report.contains("error_codes") ? error_bars(report["error_codes"]) : "";
  return card("half", "Lines and errors by kind",
              errors.empty() ? "No error records in this run." : "What became of every line.",
              errors + table_markup(table));
}

}  // namespace penstock
