// The chart: a group of bars for each row, an engine a bar, on a logarithmic scale.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "frontend-headless/bench_report.h"

namespace vireo {

namespace {

constexpr int kBar = 14, kGap = 12, kLeft = 110, kRight = 90, kTop = 60, kPlot = 640;
constexpr const char* kColours[] = {"#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
  return out;
}

}  // namespace

std::string bench_chart(const BenchHost& host, std::span<const BenchRow> rows) {
  const std::vector<std::string> engines = bench_engines(rows);
  std::vector<std::string> names;
  double least = 1e300, most = 0;
  for (const BenchRow& row : rows) {
    if (row.samples.empty() || row.median() <= 0) continue;
    const std::string name = row.suite + "/" + row.name;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    least = std::min(least, row.median());
    most = std::max(most, row.median());
  }
  if (names.empty()) least = most = 1;
  const double low = std::floor(std::log10(least)), high = std::max(low + 1, std::ceil(std::log10(most)));
  const auto x = [&](double value) { return kLeft + kPlot * (std::log10(value) - low) / (high - low); };
  const int group = kBar * static_cast<int>(engines.size()) + kGap;
  const int height = kTop + group * static_cast<int>(names.size()) + 30;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"18\">Vireo on {}: nano in "
      "cycles, macro in ms "
      "(logarithmic)</text>\n",
      kLeft + kPlot + kRight, height, escaped(host.cpu));
  for (size_t i = 0; i < engines.size(); ++i) {
    const int at = kLeft + 120 * static_cast<int>(i);
    svg += fmt::format(
        "<rect x=\"{}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"37\">{}</text>\n",
        at, kColours[i % std::size(kColours)], at + 14, escaped(engines[i]));
  }
  for (double power = low; power <= high; ++power) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#ddd\"/><text x=\"{0:.1f}\" "
        "y=\"{3}\" "
        "text-anchor=\"middle\">{4:g}</text>\n",
        x(std::pow(10, power)), kTop - 8, height - 22, height - 8, std::pow(10, power));
  }
  for (size_t n = 0; n < names.size(); ++n) {
    const int top = kTop + group * static_cast<int>(n);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 6,
                       top + (group - kGap) / 2 + 4, escaped(names[n]));
    for (const BenchRow& row : rows) {
      if (row.samples.empty() || row.median() <= 0 || row.suite + "/" + row.name != names[n]) continue;
      const auto bar =
          static_cast<size_t>(std::find(engines.begin(), engines.end(), row.engine) - engines.begin());
      const double end = x(row.median());
      const int y = top + kBar * static_cast<int>(bar);
      svg += fmt::format(
          "<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/><text x=\"{:.1f}\" "
          "y=\"{}\">{:.4g}</text>\n",
          kLeft, y, std::max(1.0, end - kLeft), kBar - 2, kColours[bar % std::size(kColours)], end + 4,
          y + kBar - 4, row.median());
    }
  }
  return svg + "</svg>\n";
}

}  // namespace vireo
