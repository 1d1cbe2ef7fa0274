"""Medians, ratios and the text of the report."""

import math
import statistics

CLOCK_TOLERANCE = 0.03


class Results:
    """All measurements of one comparison. Rows and runners keep the order in which they were given."""

    def __init__(self, rows, boots, runners):
        self.rows, self.boots, self.runners = rows, boots, runners
        self.times = {}     # (runner, row) -> one list of ns per round, empty for a round without a result
        self.cpu = {}       # the same of host CPU time
        self.checks = {}    # (runner, row) -> results
        self.boot_s = {}    # (runner, boot) -> wall seconds, one per round
        self.boot_cpu_s = {}
        self.notes = []

    def add_outputs(self, runner, outputs):
        """One round of one runner."""
        for row in self.rows:
            for kept, kind in ((self.times, "times"), (self.cpu, "cpu")):
                values = [ns for output in outputs for ns in getattr(output, kind).get(row, [])]
                kept.setdefault((runner, row), []).append(values)
            for output in outputs:
                self.checks.setdefault((runner, row), set()).update(output.checks.get(row, ()))
        for output in outputs:
            rate = output.clock_rate()
            if rate is not None and abs(rate - 1) > CLOCK_TOLERANCE:
                self.note(f"{runner}: the guest's clock ran at {rate:.2f} of the host's; its times are wrong by as much")

    def add_boot(self, runner, boot, seconds, cpu_seconds):
        self.boot_s.setdefault((runner, boot), []).append(seconds)
        self.boot_cpu_s.setdefault((runner, boot), []).append(cpu_seconds)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def native(self, row):
        """Medians of the rounds."""
        return [statistics.median(times) for times in self.times.get(("native", row), []) if times]

    def ratios(self, runner, row, kind="times"):
        """One a round: the runner's median to the native one of the same round. `kind` may be "cpu"."""
        kept = getattr(self, kind)
        pairs = zip(kept.get((runner, row), []), kept.get(("native", row), []))
        medians = [(statistics.median(theirs), statistics.median(native)) for theirs, native in pairs if theirs and native]
        return [theirs / native for theirs, native in medians if theirs and native]

    def is_wrong(self, runner, row):
        theirs, native = self.checks.get((runner, row), set()), self.checks.get(("native", row), set())
        return bool(theirs) and theirs != native

    def common_rows(self):
        """The rows that every runner that got anywhere has: only over these do mean ratios compare."""
        alive = [runner for runner in self.runners if any(self.ratios(runner, row) for row in self.rows)]
        return [row for row in self.rows if alive and all(self.ratios(runner, row) for runner in alive)]

    def geometric_mean(self, runner, kind="times"):
        ratios = [self.ratios(runner, row, kind) for row in self.common_rows()]
        if not ratios or not all(ratios):
            return None
        return math.exp(statistics.fmean(math.log(statistics.median(values)) for values in ratios))

    def as_json(self):
        def per_runner(function):
            return {runner: function(runner) for runner in self.runners}

        return {
            "rows": [{"name": row, "native_ns": self.native(row), "ratios": per_runner(lambda r: self.ratios(r, row)),
                      "cpu_ratios": per_runner(lambda r: self.ratios(r, row, "cpu")),
                      "times_ns": {runner: self.times.get((runner, row), []) for runner in ["native", *self.runners]},
                      "cpu_ns": {runner: self.cpu.get((runner, row), []) for runner in ["native", *self.runners]},
                      "wrong": [runner for runner in self.runners if self.is_wrong(runner, row)]} for row in self.rows],
            "geometric_mean": per_runner(self.geometric_mean),
            "cpu_geometric_mean": per_runner(lambda r: self.geometric_mean(r, "cpu")),
            "geometric_mean_rows": self.common_rows(),
            "boots": [{"name": boot, "seconds": per_runner(lambda r: self.boot_s.get((r, boot), [])),
                       "cpu_seconds": per_runner(lambda r: self.boot_cpu_s.get((r, boot), []))} for boot in self.boots],
            "notes": self.notes,
        }


def number(value):
    """Three digits, or all that are before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_spread(values, unit=""):
    if not values:
        return "-"
    text = number(statistics.median(values)) + unit
    return text if len(values) == 1 else f"{text} ({number(min(values))}-{number(max(values))})"


def render(results):
    """The table, as Markdown, and the notes below it."""
    runners = results.runners
    lines = []
    if results.rows:
        table = [["", "native ms", *(title for runner in runners for title in (f"{runner} / native", "CPU time"))]]
        for row in results.rows:
            cells = [row, with_spread([ns / 1e6 for ns in results.native(row)])]
            for runner in runners:
                wrong = " WRONG RESULT" if results.is_wrong(runner, row) else ""
                cells += [with_spread(results.ratios(runner, row), "x") + wrong,
                          with_spread(results.ratios(runner, row, "cpu"), "x")]
            table.append(cells)
        common = results.common_rows()
        means = [results.geometric_mean(runner, kind) for runner in runners for kind in ("times", "cpu")]
        table.append([f"geometric mean of {len(common)} rows", "", *(number(mean) + "x" if mean else "-" for mean in means)])
        lines += markdown(table)
    if results.boots:
        table = [["process start to power-off", *runners]]
        for boot in results.boots:
            for name, kept in ((boot, results.boot_s), (f"{boot}, CPU time", results.boot_cpu_s)):
                reference = kept.get(("tcg", boot))
                cells = [name]
                for runner in runners:
                    seconds = kept.get((runner, boot), [])
                    cell = with_spread(seconds, " s")
                    if runner != "tcg" and seconds and reference:
                        cell += f" = {number(statistics.median(seconds) / statistics.median(reference))} of tcg"
                    cells.append(cell)
                table.append(cells)
        lines += ([""] if lines else []) + markdown(table)
    if results.notes:
        lines += ["", *(f"- {note}" for note in results.notes)]
    return "\n".join(lines)


def markdown(table):
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in table]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
