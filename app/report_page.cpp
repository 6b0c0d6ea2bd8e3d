#include "app/report_page.h"

#include "app/number_text.h"
#include "app/report_sections.h"
#include "app/report_speculation.h"
#include "app/report_style.h"

namespace penstock {

namespace {

std::string word(const OrderedJson& report, const char* pointer) {
  return escape_markup(report.value(OrderedJson::json_pointer(pointer), std::string()));
}

std::string plural(double count, const char* one) { return count_text(count) + " " + one + (count == 1 ? "" : "s"); }

std::string status(const OrderedJson& report) {
  const int code = report.value("exit_code", 0);
  const auto shown = [](const char* css, const std::string& text) {
    return "<p class=\"status " + std::string(css) + "\">" + text + "</p>\n";
  };
  if (code == 0) return shown("good", "All answered");
  if (code == 65) return shown("fair", "All lines handled, some with error records");
  if (code == 75) return shown("fair", "Stopped early: the same command continues");
  return shown("bad", "Exit code " + std::to_string(code));
}

std::string header(const OrderedJson& report) {
  const double ranks = report_number(report, "/device/tensor_parallel");
  const double replicas = report_number(report, "/device/replicas");
  std::string facts = word(report, "/architecture") + " · " + word(report, "/device/kind") + " · " +
                      word(report, "/device/dtype") + " · " +
                      plural(report_number(report, "/device/threads"), "thread");
  if (replicas > 1) facts += " · " + plural(replicas, "replica");
  if (ranks > 1) facts += " · " + plural(ranks, "rank") + (replicas > 1 ? " each" : "");
  return "<header>\n<p class=\"brand\"><b>Penstock</b> " + word(report, "/command") + " report</p>\n<h1><bdi>" +
         word(report, "/model") + "</bdi></h1>\n<p class=\"facts\">" + facts + "</p>\n" + status(report) +
         "</header>\n";
}

std::string tile(const std::string& name, const std::string& value, const std::string& note) {
  return "<div><dt>" + name + "</dt><dd>" + value + "<small>" + note + "</small></dd></div>\n";
}

std::string answered_tile(const OrderedJson& report) {
  const auto number = [&](const char* pointer) { return report_number(report, pointer); };
  std::string note = "of " + plural(number("/requests/lines"), "line");
  if (number("/requests/errors") > 0) note += ", " + plural(number("/requests/errors"), "error");
  if (number("/requests/already_answered") > 0)
    note += ", " + count_text(number("/requests/already_answered")) + " by an earlier run";
  return tile("Answered", count_text(number("/requests/answered")), note);
}

std::string tiles(const OrderedJson& report) {
  const auto number = [&](const char* pointer) { return report_number(report, pointer); };
  std::string all = answered_tile(report);
  all += tile("Wall time", seconds_text(number("/seconds/wall")),
              seconds_text(number("/seconds/load")) + " of it loading");
  if (number("/tokens/completion") > 0)
    all += tile("New tokens/s", count_text(number("/rates/completion_tokens_per_second")),
                plural(number("/tokens/completion"), "token") + " in all");
  if (number("/latency_seconds/first_token/count") > 0)
    all += tile("First token", seconds_text(number("/latency_seconds/first_token/p50")),
                "median; p99 " + seconds_text(number("/latency_seconds/first_token/p99")));
  if (number("/latency_seconds/per_output_token/count") > 0)
    all += tile("Then a token each", seconds_text(number("/latency_seconds/per_output_token/p50")),
                "median; p99 " + seconds_text(number("/latency_seconds/per_output_token/p99")));
  if (report["device"].contains("idle_share"))
    all += tile("Device busy", share_text(1 - number("/device/idle_share")),
                "of the time with work, in " + plural(number("/device/steps"), "step"));
  return "<dl class=\"tiles\">\n" + all + "</dl>\n";
}

std::string footer(const OrderedJson& report) {
  const auto limit = [&](const char* pointer) { return count_text(report_number(report, pointer)); };
  std::string text = "Report of schema version " + limit("/schema_version");
  if (report.contains("limits"))
    text += ". Limits: " + limit("/limits/max_batch") + " sequences and " + limit("/limits/max_step_tokens") +
            " tokens a step, " + limit("/limits/max_context") + " tokens a sequence";
  return "<footer>" + text + ".</footer>\n";
}

}  // namespace

std::string report_page(const OrderedJson& report) {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<title>Penstock: " +
      word(report, "/model") + "</title>\n<style>\n" + std::string(report_style()) +
      "</style>\n</head>\n<body>\n<main>\n";
  page += header(report) + tiles(report) + "<div class=\"grid\">\n";
  for (const auto section : {stages_section, time_section, latency_section, buckets_section, lines_section, kv_section,
                             speculation_section, memory_section})
    page += section(report);
  return page + "</div>\n" + footer(report) + "</main>\n</body>\n</html>\n";
}

}  // namespace penstock
