#include "app/svg_canvas.h"

#include <cmath>
#include <cstdio>

#include "app/number_text.h"

namespace penstock {

namespace {

// Two digits after the point are a hundredth of a pixel or a tenth of one on the widest screens.
std::string coordinate(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2f", value);
  std::string result = text;
  result.erase(result.find_last_not_of('0') + 1);
  if (result.back() == '.') result.pop_back();
  return result == "-0" ? "0" : result;
}

// A width that is not 0 is not written as 0.
std::string extent(double value) { return coordinate(value > 0 ? std::max(value, 0.01) : 0); }

std::string attribute(const char* name, std::string_view value) {
  return " " + std::string(name) + "=\"" + std::string(value) + "\"";
}

const char* anchor_name(SvgCanvas::Anchor anchor) {
  if (anchor == SvgCanvas::Anchor::start) return "start";
  return anchor == SvgCanvas::Anchor::middle ? "middle" : "end";
}

}  // namespace

SvgCanvas::SvgCanvas(const PlotName& name, int height, bool gutter) {
  svg_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"" + attribute("id", name.id) +
         attribute("class", gutter ? "plot gutter" : "plot") + attribute("height", std::to_string(height)) +
         attribute("aria-labelledby", name.id + "-title " + name.id + "-desc") + ">\n<title" +
         attribute("id", name.id + "-title") + ">" + escape_markup(name.title) + "</title>\n<desc" +
         attribute("id", name.id + "-desc") + ">" + escape_markup(name.description) + "</desc>\n";
}

void SvgCanvas::rect(std::string_view css, const Box& box, std::string_view tooltip) {
  svg_ += "<rect" + attribute("class", css) + attribute("x", coordinate(box.x) + "%") +
          attribute("y", coordinate(box.y)) + attribute("width", extent(box.width) + "%") +
          attribute("height", extent(box.height));
  svg_ += tooltip.empty() ? "/>\n" : "><title>" + escape_markup(tooltip) + "</title></rect>\n";
}

void SvgCanvas::text(std::string_view css, double x, double y, Anchor anchor, std::string_view text) {
  svg_ += "<text" + attribute("class", css) + attribute("x", coordinate(x) + "%") + attribute("y", coordinate(y)) +
          attribute("text-anchor", anchor_name(anchor)) + ">" + escape_markup(text) + "</text>\n";
}

void SvgCanvas::label_y(double y, std::string_view text) {
  svg_ += "<text class=\"tick\" x=\"-8\"" + attribute("y", coordinate(y + 4)) + " text-anchor=\"end\">" +
          escape_markup(text) + "</text>\n";
}

void SvgCanvas::horizontal(std::string_view css, double y) {
  svg_ += "<line" + attribute("class", css) + " x1=\"0\" x2=\"100%\"" + attribute("y1", coordinate(y)) +
          attribute("y2", coordinate(y)) + "/>\n";
}

void SvgCanvas::vertical(std::string_view css, double x, double top, double bottom) {
  svg_ += "<line" + attribute("class", css) + attribute("x1", coordinate(x) + "%") +
          attribute("x2", coordinate(x) + "%") + attribute("y1", coordinate(top)) +
          attribute("y2", coordinate(bottom)) + "/>\n";
}

// Paths know no percent: they get a window of their own that is stretched to the width.
void SvgCanvas::path(std::string_view css, const std::vector<Point>& points, double top, double bottom) {
  const std::string height = coordinate(bottom - top);
  svg_ += "<svg x=\"0\" width=\"100%\"" + attribute("y", coordinate(top)) + attribute("height", height) +
          attribute("viewBox", "0 0 1000 " + height) + " preserveAspectRatio=\"none\"><path" + attribute("class", css) +
          " d=\"";
  std::string last_x, last_y;
  for (const Point& point : points) {
    const std::string x = coordinate(point.x * 10), y = coordinate(point.y - top);
    if (last_x.empty())
      svg_ += "M" + x + " " + y;
    else if (y == last_y)
      svg_ += x == last_x ? "" : "H" + x;
    else
      svg_ += x == last_x ? "V" + y : "L" + x + " " + y;
    last_x = x, last_y = y;
  }
  svg_ += "\"/></svg>\n";
}

std::string SvgCanvas::finish() { return svg_ + "</svg>\n"; }

}  // namespace penstock
