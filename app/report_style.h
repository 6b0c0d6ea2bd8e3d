// The report page's CSS: light and dark by the reader's own setting, one column on a phone.
#pragma once
#include <string_view>

namespace penstock {

std::string_view report_style();

}  // namespace penstock
