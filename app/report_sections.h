// The parts of the report page, each from the parts of the report that it shows; empty where those are absent.
#pragma once
#include <string>
#include <vector>

#include "engine/json.h"

namespace penstock {

// 0 where it is absent. `pointer`: "/tokens/prompt"
double report_number(const OrderedJson& report, const char* pointer);

// `css`: of a swatch before the row's first cell; empty: none. Without a head it has only rows.
struct ReportTable {
  std::vector<std::string> head;
  struct Row {
    std::vector<std::string> cells;
    std::string css = {};
  };
  std::vector<Row> rows;
  bool named_rows = true;  // the first cell names its row
};
std::string table_markup(const ReportTable& table);
std::string folded(const ReportTable& table);  // shown when asked for

// `css`: its width in the grid: "wide", "half". `body` is markup, the rest text.
std::string card(const std::string& css, const std::string& title, const std::string& sentence,
                 const std::string& body);

std::string stages_section(const OrderedJson& report);
std::string time_section(const OrderedJson& report);
std::string latency_section(const OrderedJson& report);
std::string buckets_section(const OrderedJson& report);
std::string kv_section(const OrderedJson& report);
std::string memory_section(const OrderedJson& report);
std::string lines_section(const OrderedJson& report);

}  // namespace penstock
