// isa_fuzz: the decoder against Capstone or the host CPU, on encodings of every row and on random strings of
// bytes.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "core/isa/decode.h"
#include "tests/isa/byte_source.h"
#include "tests/isa/compare.h"
#include "tests/isa/host_decoder.h"
#include "tests/isa/throughput.h"

namespace vireo::isa {
namespace {

constexpr CodeSize kCodeSizes[] = {CodeSize::k16, CodeSize::k32, CodeSize::k64};
constexpr unsigned kEncodingsPerRow = 64;
constexpr uint64_t kLongRun = 1'000'000;
constexpr size_t kSamplesShown = 10000;

struct Options {
  uint64_t count = 200'000;  ///< random strings per code size
  uint64_t seed = 1;
  bool bench = false;
  bool host = false;    ///< compare with the host CPU instead of Capstone
  bool report = false;  ///< how often each line of the list was needed
};

class Fuzz {
 public:
  explicit Fuzz(const Options& options) : options_(options) {}

  bool run() {
    for (CodeSize code_size : kCodeSizes) {
      Comparison comparison(code_size, names_);
      ByteSource source(options_.seed * 3 + static_cast<unsigned>(code_size));
      for (const InsnRow& row : rows()) try_row(row, code_size, source, comparison);
      for (uint64_t i = 0; i < options_.count; i++) check(source.random_bytes(code_size), comparison);
      fmt::print("{}-bit code: {} strings decoded\n", 16 << static_cast<unsigned>(code_size),
                 comparison.decoded);
    }
    return report();
  }

 private:
  void try_row(const InsnRow& row, CodeSize code_size, ByteSource& source, Comparison& comparison) {
    unsigned hits = 0, tries = 0;
    // A row's encodings may be another row's special case (NOP's are PAUSE's), so not every try is a hit.
    for (; tries < kEncodingsPerRow; tries++) {
      const auto bytes = source.encoding_of(row, code_size);
      if (!bytes) return;
      Insn insn;
      if (decode(*bytes, code_size, insn) == DecodeStatus::kOk && &isa::row(insn) == &row) hits++;
      check(*bytes, comparison);
    }
    if (hits == 0) {
      fmt::print("row {} \"{}\" never decodes in {}-bit code\n", row.name(), row.encoding_text,
                 16 << static_cast<unsigned>(code_size));
      failures_++;
    }
  }

  void check(const InsnBytes& bytes, Comparison& comparison) {
    const std::optional<Disagreement> disagreement =
        options_.host ? comparison.compare_with_host(bytes) : comparison.compare(bytes);
    if (!disagreement || list_.explain(*disagreement)) return;
    failures_++;
    Group& group = unexplained_[disagreement->text()];
    if (group.count++ > 0 || unexplained_.size() > kSamplesShown) return;
    group.sample = comparison.explain(bytes);
    group.sample += " | host: " + host_decode(bytes, comparison.code_size()).text();
  }

  bool report() {
    if (options_.report) {
      for (const std::string& line : list_.report()) fmt::print("{}\n", line);
    }
    std::vector<std::pair<uint64_t, std::string>> groups;
    for (const auto& [text, group] : unexplained_)
      groups.emplace_back(group.count, fmt::format("{:7} {}\n        {}\n", group.count, text, group.sample));
    std::sort(groups.rbegin(), groups.rend());
    for (size_t i = 0; i < std::min(groups.size(), kSamplesShown); i++) fmt::print("{}", groups[i].second);
    fmt::print("{} unexplained failures in {} groups\n", failures_, groups.size());
    if (options_.host) return failures_ == 0;
    const std::vector<std::string> unused = list_.unused(options_.count >= kLongRun);
    for (const std::string& line : unused) fmt::print("explains nothing: {}\n", line);
    return failures_ == 0 && unused.empty();
  }

  struct Group {
    uint64_t count = 0;
    std::string sample;
  };

  const Options options_;
  const CapstoneNames names_{VIREO_ISA_TEST_DIR "/capstone_names.txt"};
  DisagreementList list_{options_.host ? VIREO_ISA_TEST_DIR "/host_disagreements.txt"
                                       : VIREO_ISA_TEST_DIR "/capstone_disagreements.txt"};
  std::map<std::string, Group> unexplained_;
  uint64_t failures_ = 0;
};

int main_with(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view arg = argv[i];
    const bool has_value = i + 1 < argc;
    if (arg == "--count" && has_value) {
      options.count = std::stoull(argv[++i]);
    } else if (arg == "--seed" && has_value) {
      options.seed = std::stoull(argv[++i]);
    } else if (arg == "--bench") {
      options.bench = true;
    } else if (arg == "--host") {
      options.host = true;
    } else if (arg == "--report") {
      options.report = true;
    } else {
      fmt::print("usage: isa_fuzz [--count N] [--seed N] [--host] [--report] | --bench\n");
      return 2;
    }
  }
  if (options.bench) {
    print_throughput();
    return 0;
  }
  return Fuzz(options).run() ? 0 : 1;
}

}  // namespace
}  // namespace vireo::isa

int main(int argc, char** argv) {
  return vireo::isa::main_with(argc, argv);
}
