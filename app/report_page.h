// The report as one page: HTML, CSS and SVG in one file that needs nothing else, neither network nor script.
#pragma once
#include <string>

#include "engine/json.h"

namespace penstock {

// `report`: what make_report() says, with valid UTF-8. What is absent there is left out here. Pure.
std::string report_page(const OrderedJson& report);

}  // namespace penstock
