// When this process began, for figures that count what comes before main too.
#pragma once

namespace penstock {

// On monotonic_seconds()'s clock, to 10 ms. Where /proc does not say, when this was first called.
double process_start_seconds();

}  // namespace penstock
