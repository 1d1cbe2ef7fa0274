// The results of `vireo bench`, for people, programs and slides.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "frontend-headless/bench_rows.h"

namespace vireo {

/// Markdown: a table for each suite, with a column for each engine and, behind those, ratios to the first of
/// them that has the row; then the counters that explain the rows.
std::string bench_table(const BenchHost& host, std::span<const BenchRow> rows);
/// An object with `host` and `rows`.
std::string bench_json(const BenchHost& host, std::span<const BenchRow> rows);
std::string bench_csv(std::span<const BenchRow> rows);
/// SVG: bars by row and engine, on a logarithmic scale.
std::string bench_chart(const BenchHost& host, std::span<const BenchRow> rows);

/// Of the rows, in the order in which they appear first.
std::vector<std::string> bench_engines(std::span<const BenchRow> rows);

}  // namespace vireo
