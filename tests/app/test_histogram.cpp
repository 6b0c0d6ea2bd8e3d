#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "app/histogram.h"
#include "tests/support/catch.h"

using namespace penstock;

TEST_CASE("percentiles are right within 4.5 percent over nine decades") {
  std::mt19937_64 random(1);
  Histogram histogram;
  std::vector<double> values;
  for (int i = 0; i < 10000; ++i) {
    values.push_back(std::pow(10.0, -5 + 9 * static_cast<double>(random() % 100000) / 1e5));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.01, 0.5, 0.9, 0.99}) {
    const double exact = values[static_cast<size_t>(std::ceil(fraction * 10000)) - 1];
    CHECK(std::abs(histogram.percentile(fraction) / exact - 1) <= 0.045);
  }
  CHECK(histogram.max() == values.back());
  CHECK(histogram.percentile(1) <= values.back());
  CHECK(histogram.count() == 10000);
}

TEST_CASE("nothing, one value, and values outside the range") {
  Histogram histogram;
  CHECK(histogram.percentile(0.5) == 0);
  CHECK(histogram.mean() == 0);
  histogram.add(0.25);
  CHECK(std::abs(histogram.percentile(0.5) - 0.25) <= 0.25 * 0.045);
  Histogram outside;
  outside.add(0);
  outside.add(1e9);
  CHECK(outside.percentile(0.5) <= 1.1e-6);
  CHECK(outside.max() == 1e9);
}

TEST_CASE("the counts lie between edges that hold their values") {
  Histogram histogram;
  CHECK(histogram.counts().counts.empty());
  CHECK(histogram.counts().edges.empty());
  for (const double value : {0.003, 0.00301, 0.2}) histogram.add(value);
  const Histogram::Counts all = histogram.counts();
  REQUIRE(all.edges.size() == all.counts.size() + 1);
  CHECK(all.counts.front() == 2);
  CHECK(all.counts.back() == 1);
  CHECK(std::accumulate(all.counts.begin(), all.counts.end(), int64_t{0}) == 3);
  CHECK(all.edges[0] <= 0.003);
  CHECK(0.00301 < all.edges[1]);
  CHECK(all.edges[all.edges.size() - 2] <= 0.2);
  CHECK(0.2 < all.edges.back());
}
