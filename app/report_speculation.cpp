#include "app/report_speculation.h"

#include <cstdio>
#include <numeric>

#include "app/number_text.h"
#include "app/report_sections.h"

namespace penstock {
namespace {

int64_t sum(const std::array<int64_t, kMaxDrafts>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

// Positions beyond the last that was ever proposed are left out.
OrderedJson by_position(const SpeculationStats::ByDrafter& counts) {
  OrderedJson proposed = OrderedJson::array(), accepted = proposed;
  for (int32_t i = 0; i < kMaxDrafts && counts.proposed[i] > 0; ++i) {
    proposed.push_back(counts.proposed[i]);
    accepted.push_back(counts.accepted[i]);
  }
  return {{"proposed", std::move(proposed)}, {"accepted", std::move(accepted)}};
}

// What the steps with drafts would have taken without, over what they took.
double gain_of(const SpeculationStats& stats) { return ratio(stats.seconds_without, stats.seconds); }

void add_rows(ReportTable& table, const OrderedJson& speculation, const char* drafter, const std::string& css) {
  if (!speculation.contains(drafter)) return;
  const OrderedJson& counts = speculation[drafter];
  for (size_t i = 0; i < counts["proposed"].size(); ++i) {
    const double proposed = counts["proposed"][i].get<double>(), accepted = counts["accepted"][i].get<double>();
    table.rows.push_back({{std::string(drafter) + " " + std::to_string(i + 1), short_count_text(proposed),
                           short_count_text(accepted), share_text(ratio(accepted, proposed))},
                          css});
  }
}

}  // namespace

OrderedJson report_speculation(const SpeculationStats& stats) {
  OrderedJson report = {{"steps", stats.steps},
                        {"rows", stats.rows},
                        {"tokens", stats.tokens},
                        {"tokens_per_row", ratio(static_cast<double>(stats.tokens), static_cast<double>(stats.rows))},
                        {"seconds", stats.seconds},
                        {"draft_seconds", stats.draft_seconds},
                        {"seconds_without", stats.seconds_without},
                        {"gain", gain_of(stats)},
                        {"catch_up_tokens", stats.catch_up_tokens}};
  if (sum(stats.ngram.proposed) > 0) report["ngram"] = by_position(stats.ngram);
  if (sum(stats.model.proposed) > 0) report["model"] = by_position(stats.model);
  return report;
}

std::string format_speculation(const SpeculationStats& stats) {
  if (stats.steps == 0) return "";
  const int64_t proposed = sum(stats.ngram.proposed) + sum(stats.model.proposed);
  const int64_t accepted = sum(stats.ngram.accepted) + sum(stats.model.accepted);
  char line[200];
  std::snprintf(line, sizeof line,
                "penstock: %lld of %lld drafts accepted, %.2f tokens a row; steps with drafts ran %.2f x as fast as "
                "without\n",
                static_cast<long long>(accepted), static_cast<long long>(proposed),
                ratio(static_cast<double>(stats.tokens), static_cast<double>(stats.rows)), gain_of(stats));
  return line;
}

std::string speculation_section(const OrderedJson& report) {
  if (!report.contains("speculation")) return "";
  const OrderedJson& speculation = report["speculation"];
  if (report_number(report, "/speculation/steps") == 0) return "";
  ReportTable table{{"Draft", "proposed", "accepted", "share"}, {}};
  add_rows(table, speculation, "ngram", "schedule");
  add_rows(table, speculation, "model", "draft");
  char sentence[200];
  std::snprintf(sentence, sizeof sentence,
                "In %s steps rows with drafts gave %.2f tokens each; those steps ran %.2f x as fast as they would have "
                "without.",
                count_text(report_number(report, "/speculation/steps")).c_str(),
                report_number(report, "/speculation/tokens_per_row"), report_number(report, "/speculation/gain"));
  return card("half", "Speculation", sentence, table_markup(table));
}

}  // namespace penstock
