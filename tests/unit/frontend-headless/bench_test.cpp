// What `vireo bench` makes of samples and counters.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "frontend-headless/bench_machine.h"
#include "frontend-headless/bench_process.h"
#include "frontend-headless/bench_report.h"
#include "frontend-headless/bench_suites.h"

namespace vireo {
namespace {

const BenchHost kHost{"Some CPU & more", "Linux 6.1", "none", "kvm_amd", 2e9};

BenchRow row(std::string suite, std::string name, std::string engine, std::vector<double> samples) {
  return {std::move(suite), std::move(name), std::move(engine), "cycles", std::move(samples), {}, {}};
}

TEST(BenchRow, MedianAndSpread) {
  EXPECT_EQ(row("nano", "in", "bt", {3, 1, 2}).median(), 2);
  EXPECT_EQ(row("nano", "in", "bt", {4, 1, 2, 3}).median(), 2.5);
  EXPECT_EQ(row("nano", "in", "bt", {100, 100, 100}).spread(), 0);
  EXPECT_DOUBLE_EQ(row("nano", "in", "bt", {90, 95, 100, 105, 110}).spread(), 0.05);
  EXPECT_EQ(row("nano", "in", "bt", {}).median(), 0);
}

TEST(BenchCounters, TheGreatestChangesForEachOperation) {
  const CounterValues before{{"tlb/fills", 10}, {"exits/port", 5}, {"host time, us/idle", 1}, {"gone", 9}};
  const CounterValues after{
      {"tlb/fills", 30}, {"exits/port", 1005}, {"host time, us/idle", 9999}, {"new", 4000}, {"rare", 1}};
  const auto explained = explain(before, after, 1000);
  const std::map<std::string, double> expected{{"tlb/fills", 0.02}, {"exits/port", 1}, {"new", 4}};
  EXPECT_EQ(explained, expected);
}

TEST(BenchReport, TableHasRatiosToTheFirstEngine) {
  const std::vector<BenchRow> rows{row("nano", "in", "bt", {10, 10, 10}),
                                   row("nano", "in", "hw", {25, 25, 25}),
                                   row("nano", "cpuid", "hw", {7, 7, 7})};
  const std::string table = bench_table(kHost, rows);
  EXPECT_NE(table.find("| in           | 10.0 ±0 % | 25.0 ±0 % | 2.50    |"), std::string::npos) << table;
  EXPECT_NE(table.find("| cpuid        | -         | 7.00 ±0 % | -       |"), std::string::npos) << table;
  EXPECT_NE(table.find("kvm_amd"), std::string::npos);
}

TEST(BenchReport, JsonHasHostAndRows) {
  std::vector<BenchRow> rows{row("nano", "in", "bt", {1, 2, 3})};
  rows[0].counters["exits/port"] = 1.5;
  rows.push_back(row("nano", "sysenter", "bt", {}));
  rows[1].skipped = "no SEP";
  const auto json = nlohmann::json::parse(bench_json(kHost, rows));
  EXPECT_EQ(json["host"]["cpu"], kHost.cpu);
  ASSERT_EQ(json["rows"].size(), 2u);
  const auto& first = json["rows"][0];
  for (const char* key : {"suite", "name", "engine", "unit", "median", "spread", "counters"})
    EXPECT_TRUE(first.contains(key));
  EXPECT_EQ(first["median"], 2);
  EXPECT_EQ(first["counters"]["exits/port"], 1.5);
  EXPECT_EQ(json["rows"][1]["skipped"], "no SEP");
}

TEST(BenchReport, CsvAndChart) {
  const std::vector<BenchRow> rows{row("nano", "in", "bt", {1, 2, 3}), row("macro", "fork", "native", {50})};
  EXPECT_EQ(
      bench_csv(rows),
      "suite,name,engine,unit,median,spread\nnano,in,bt,cycles,2,0.25\nmacro,fork,native,cycles,50,0\n");
  const std::string svg = bench_chart(kHost, rows);
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_NE(svg.find("Some CPU &amp; more"), std::string::npos);
  EXPECT_NE(svg.find("macro/fork"), std::string::npos);
  EXPECT_EQ(bench_chart(kHost, {}).rfind("<svg ", 0), 0u);
}

TEST(BenchOptions, OnlySomeRows) {
  BenchOptions options;
  EXPECT_TRUE(is_wanted(options, "in"));
  options.only = "cpuid,out";
  EXPECT_TRUE(is_wanted(options, "out"));
  EXPECT_FALSE(is_wanted(options, "in"));
}

TEST(BenchNative, MeasuresWhatAProgramCanDo) {
  BenchOptions options;
  options.samples = 2;
  options.sample_us = 200;
  const std::vector<BenchRow> rows = run_native_operations(options, BenchHost::here());
  ASSERT_GE(rows.size(), 3u);
  for (const BenchRow& r : rows) {
    EXPECT_EQ(r.samples.size(), 2u) << r.name;
    EXPECT_GT(r.median(), 0) << r.name;
  }
}

TEST(BenchProcess, LinesStatusAndSilence) {
  std::vector<std::string> lines;
  const auto collect = [&](std::string_view line) { lines.emplace_back(line); };
  EXPECT_EQ(run_program({"sh", "-c", "echo one; echo two; exit 3"}, 10, collect).value(), 3);
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two"}));
  EXPECT_FALSE(run_program({"no-such-program-of-vireo"}, 10, collect).ok());
  EXPECT_EQ(run_program({"sleep", "60"}, 0.2, collect).value(), 128 + 9);
}

}  // namespace
}  // namespace vireo
