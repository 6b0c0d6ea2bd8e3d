"""Reads a report page back: is it whole, does it need nothing else, and do its plots show what the JSON report says?"""

import json
import re
import sys
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
TAGS = set("""html head meta title style body main header p b h1 h2 h3 bdi dl div dt dd small section figure figcaption
              span i table thead tbody tr th td details summary footer svg desc rect line text path""".split())
WALL_LANES = [["load_weights", "plan_memory", "capture_graphs"], ["read", "write"], ["tokenize", "detokenize"],
              ["schedule", "upload"], ["prefill", "decode", "draft", "sample"]]


def near(shown, wanted, slack):
    assert abs(shown - wanted) <= slack, (shown, wanted, slack)


def read_page(text):
    """The page as XML, which is stricter than HTML: every tag closed, every attribute quoted, every & escaped."""
    head = "<!DOCTYPE html>\n"
    assert text.startswith(head)
    page = ET.fromstring(re.sub(r"(<meta [^>]*)>", r"\1/>", text[len(head):]))
    for element in page.iter():
        assert element.tag.removeprefix(SVG) in TAGS, element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on") and name not in ("src", "href", "style", "srcset", "action"), name
            assert "javascript:" not in value and "//" not in value
    ids = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids)), ids
    style = page.find("head/style").text
    assert not re.search(r"url\(|@import|@font-face|expression", style)
    return page


def with_class(element, *names):
    return [e for e in element.iter() if set(names) <= set(e.get("class", "").split())]


def percent(element, name):
    return float(element.get(name).removesuffix("%"))


def plot_of(page, name):
    found = [e for e in page.iter(SVG + "svg") if e.get("id") == name]
    assert len(found) == 1, name
    for part in ("title", "desc"):  # what a screen reader is told
        [told] = [e for e in found[0].iter(SVG + part) if e.get("id") == f"{name}-{part}"]
        assert told.text, (name, part)
    assert found[0].get("aria-labelledby") == f"{name}-title {name}-desc" and found[0].get("role") == "img"
    return found[0]


def axis_number(text):
    units = {"k": 1e3, "M": 1e6, "G": 1e9, " µs": 1e-6, " ms": 1e-3, " s": 1, " min": 60, " h": 3600, "": 1}
    number, unit = re.fullmatch(r"([0-9.,]+)(.*)", text).groups()
    return float(number.replace(",", "")) * units[unit]


class Axis:
    """The y axis as its labels tell it."""

    def __init__(self, plot):
        labels = [(float(e.get("y")) - 4, axis_number(e.text)) for e in plot.iter(SVG + "text") if e.get("x") == "-8"]
        (self.bottom, zero), (self.top, self.largest) = labels[0], labels[-1]
        assert zero == 0 and self.largest > 0 and self.bottom > self.top
        self.pixel = self.largest / (self.bottom - self.top)  # what a pixel stands for

    def value(self, height):
        return height * self.pixel


def edge_values(plot, css, seconds, interval, count):
    """The values of a curve of steps, read in the middle of each step."""
    [path] = with_class(plot, "edge", css)
    axis, steps, x, y = Axis(plot), [], 0, 0
    for command, numbers in re.findall(r"([MHVL])([-0-9. ]+)", path.get("d")):
        numbers = [float(n) for n in numbers.split()]
        if command == "H":
            steps.append((x, numbers[0], y))
            x = numbers[0]
        elif command == "V":
            y = numbers[0]
        else:
            x, y = numbers
    values = []
    for i in range(count):
        middle = 1000 * (i * interval + min((i + 1) * interval, seconds)) / 2 / seconds
        [height] = [y for begin, end, y in steps if begin <= middle < end]
        values.append(axis.value(axis.bottom - axis.top - height))
    return values, axis.pixel * 0.02


def check_stages(page, report):
    plot, wall = plot_of(page, "stages"), report["seconds"]["wall"]
    lanes = [[(s, report["stages"][s]["seconds"]) for s in lane if s in report["stages"]] for lane in WALL_LANES]
    lanes = [lane for lane in lanes if lane]
    assert sum(map(len, lanes)) == len(report["stages"])
    full = max([wall] + [sum(seconds for _, seconds in lane) for lane in lanes])
    marks = with_class(plot, "mark")
    assert len(marks) == len(report["stages"])
    for lane in lanes:
        x = 0
        for stage, seconds in lane:
            mark = marks.pop(0)
            assert mark.get("class") == "mark " + stage
            near(percent(mark, "x"), x, 0.011)
            near(percent(mark, "width"), 100 * seconds / full, 0.011)
            x += 100 * seconds / full


def check_series(page, report):
    series = report["time_series"]
    count, shape = len(series["sequences"]), (series["seconds"], series["interval_seconds"])
    assert 0 < count <= 240 and (count - 1) * shape[1] < shape[0] <= count * shape[1] * (1 + 1e-9)
    decode, prefill = series["decode_tokens_per_second"], series["prefill_tokens_per_second"]
    both = [a + b for a, b in zip(decode, prefill)]
    for name, css, wanted in (("throughput", "decode", decode), ("throughput", "prefill", both),
                              ("batch", "schedule", series["sequences"]), ("kv", "sample", series["kv_blocks"])):
        shown, slack = edge_values(plot_of(page, name), css, *shape, count)
        for one, other in zip(shown, wanted, strict=True):
            near(one, other, slack)
    # The series holds every token that was computed.
    lengths = [min(shape[1], shape[0] - i * shape[1]) for i in range(count)]
    for name, values in (("prefill", prefill), ("decode", decode)):
        near(sum(v * t for v, t in zip(values, lengths)), report["tokens"][name + "_computed"], 0.001 * shape[0] + 1e-6)
    assert max(series["kv_blocks"]) <= report["kv"]["peak_used_blocks"] + 0.001


def check_latencies(page, report):
    for name, key in (("queue", "queue"), ("first-token", "first_token"), ("per-output-token", "per_output_token")):
        latency = report["latency_seconds"][key]
        histogram = latency["histogram"]
        assert sum(histogram["counts"]) == latency["count"] > 0
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
        plot = plot_of(page, name)
        axis = Axis(plot)
        heights = [axis.value(float(mark.get("height"))) for mark in with_class(plot, "mark")]
        near(sum(heights), latency["count"], len(heights) * axis.pixel * 0.01)
        told = [int(m.find(SVG + "title").text.split(": ")[1].replace(",", "")) for m in with_class(plot, "mark")]
        for height, count in zip(heights, told):
            near(height, count, axis.pixel * 0.01)
        # Half of the values lie to the left of p50's line, but for those in its own bar.
        lines = [percent(e, "x1") for e in with_class(plot, "percentile")]
        assert lines == sorted(lines) and len(lines) == 3
        middles = [percent(mark, "x") + percent(mark, "width") / 2 for mark in with_class(plot, "mark")]
        half = percent(with_class(plot, "mark")[0], "width") / 2 / 0.84 + 0.02  # of a place, which a bar does not fill
        left = sum(count for middle, count in zip(middles, told) if middle + half < lines[0])
        right = sum(count for middle, count in zip(middles, told) if middle - half > lines[0])
        assert left <= latency["count"] / 2 >= right, (left, right)


def check_buckets(page, report):
    plot = plot_of(page, "buckets")
    axis = Axis(plot)
    columns = zip(with_class(plot, "mark"), with_class(plot, "shaded"), report["buckets"], strict=True)
    for mark, shaded, bucket in columns:
        seconds = bucket["milliseconds"] / 1e3
        near(axis.value(float(shaded.get("height"))), seconds * bucket["padding_share"], axis.pixel * 0.011)
        near(axis.value(float(mark.get("height"))), seconds * (1 - bucket["padding_share"]), axis.pixel * 0.011)


def check_errors(page, report):
    codes = report["error_codes"]
    assert sum(codes.values()) == report["requests"]["errors"]
    if not codes:
        assert not [e for e in page.iter() if e.get("id") == "errors"]
        return
    plot = plot_of(page, "errors")
    labels = [e.text for e in with_class(plot, "label")]
    assert sorted(labels) == sorted(codes) and [codes[code] for code in labels] == sorted(codes.values(), reverse=True)
    for code, mark in zip(labels, with_class(plot, "mark"), strict=True):
        near(percent(mark, "width"), 100 * codes[code] / max(codes.values()), 0.011)


def check_memory(page, report):
    plan = report["memory"]["plan"]
    parts = ["weight_bytes", "kv_bytes", "activation_bytes", "step_bytes", "rope_bytes"]
    assert sum(plan[part] for part in parts) == plan["total_bytes"]
    for part, mark in zip(parts, with_class(plot_of(page, "memory"), "mark"), strict=True):
        near(percent(mark, "width"), 100 * plan[part] / plan["total_bytes"], 0.011)


def rows_of(table):
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def check_tables(page, report):
    rows = {row[0]: row[1:] for table in page.iter("table") for row in rows_of(table)}
    for stage, times in report["stages"].items():
        if times["count"] < 10000:
            assert rows[stage][2] == f"{times['count']:,}", (stage, rows[stage])
    for bucket in report["buckets"]:
        if bucket["steps"] < 10000:
            assert rows[f"{bucket['tokens']:,}"][0] == f"{bucket['steps']:,}"
    assert rows["Blocks in the pool"] == [f"{report['kv']['blocks']:,}"]
    assert rows["answered by this run"] == [f"{report['requests']['answered']:,}"]
    assert rows["error records of this run"] == [f"{report['requests']['errors']:,}"]


def main(page_path, report_path):
    with open(page_path, encoding="utf-8") as file:
        page = read_page(file.read())
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    assert page.find("body/main/header/h1/bdi").text == report["model"]
    assert page.find("head/title").text == "Penstock: " + report["model"]
    for check in (check_stages, check_series, check_latencies, check_buckets, check_errors, check_memory, check_tables):
        check(page, report)
    print(f"{len(with_class(page, 'plot'))} plots")


if __name__ == "__main__":
    main(*sys.argv[1:])
