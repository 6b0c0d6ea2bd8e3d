// An SVG that is as wide as its place: x and widths are percent, y and heights are pixels. Text therefore keeps its
// size on a phone and on a wide screen, with no script. Colours are the page's, by class.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// What a screen reader says. `id` is unique in the page.
struct PlotName {
  std::string id, title, description;
};

class SvgCanvas {
 public:
  // `gutter`: leaves room to the left for the labels of a y axis.
  SvgCanvas(const PlotName& name, int height, bool gutter);

  struct Box {
    double x = 0, y = 0, width = 0, height = 0;
  };
  // `tooltip`: shown where there is a mouse; may be empty.
  void rect(std::string_view css, const Box& box, std::string_view tooltip = {});

  enum class Anchor { start, middle, end };
  void text(std::string_view css, double x, double y, Anchor anchor, std::string_view text);
  void label_y(double y, std::string_view text);  // into the gutter

  void horizontal(std::string_view css, double y);
  void vertical(std::string_view css, double x, double top, double bottom);

  struct Point {
    double x = 0, y = 0;
  };
  // A line, or the area inside it; y lies between `top` and `bottom`.
  void path(std::string_view css, const std::vector<Point>& points, double top, double bottom);

  std::string finish();

 private:
  std::string svg_;
};

}  // namespace penstock
