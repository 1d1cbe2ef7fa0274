#!/usr/bin/env python3
"""bench/: the guest program runs every row natively, and its output becomes the right table.

compare_test.py VIREO-BENCH-GUEST
"""

import pathlib
import subprocess
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import programs  # noqa: E402
import runs  # noqa: E402
from table import Results, render  # noqa: E402

GUEST = None
SETTINGS = types.SimpleNamespace(repetitions=2, scale=100000, budget_ms=60000, silence_s=60)
SECOND = 1_000_000_000


def output(**times):
    made = runs.Output()
    cpu = 0
    for row, values in times.items():
        for ns in values:
            cpu += ns
            made.read_line(f"BENCH {row} {ns} {ns} 7", 0, cpu)
    return made


class Script:
    """A runner whose process prints a given text."""
    name = "script"

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def bench_command(self, words):
        self.asked.append(words[-1])
        return ["sh", "-c", self.texts.pop(0)]


class GuestProgram(unittest.TestCase):
    def setUp(self):
        try:
            makers = runs.Runners("vireo", GUEST, "cache")
            self.rows, self.standard = makers.list_rows()
            self.program = makers.native_program()
        except runs.Missing as missing:
            self.skipTest(str(missing))

    def test_every_row_gives_the_same_result_each_time(self):
        broken = {}
        rows = [row for row in self.rows if row not in (*programs.ROWS, "processes")]  # which takes 2.5 GiB
        outputs = runs.run_bench(runs.Native(self.program), rows, broken, SETTINGS)
        self.assertEqual(broken, {})
        self.assertEqual(len(outputs), 1)
        self.assertEqual(list(outputs[0].times), rows)
        for row in rows:
            self.assertEqual(len(outputs[0].times[row]), 2, row)
            self.assertEqual(len(outputs[0].checks[row]), 1, row)

    def test_programs_that_are_not_there(self):
        self.assertLess(set(programs.ROWS), set(self.rows))
        broken = {}
        runs.run_bench(runs.Native(self.program), programs.ROWS, broken, SETTINGS)
        self.assertEqual(list(broken), list(programs.ROWS))
        self.assertIn("programs/bin/gzip", broken["gzip"])

    def test_rows_of_the_project(self):
        self.assertEqual(len(self.standard), 15)
        self.assertLess(set(self.standard), set(self.rows))

    def test_scale_and_budget(self):
        settings = types.SimpleNamespace(repetitions=9, scale=10, budget_ms=0, silence_s=60)
        (full,) = runs.run_bench(runs.Native(self.program), ["smc"], {}, settings)
        (small,) = runs.run_bench(runs.Native(self.program), ["smc"], {}, SETTINGS)
        self.assertEqual(len(full.times["smc"]), 1)
        self.assertGreater(min(full.times["smc"]), max(small.times["smc"]))

    def test_bad_arguments(self):
        result = subprocess.run([self.program, "nonsense"], stdout=subprocess.PIPE)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"REPETITIONS", result.stdout)


class Runs(unittest.TestCase):
    def test_a_row_that_ends_the_run_costs_only_itself(self):
        broken = {}
        runner = Script("echo ROW a; echo BENCH a 5 5 7; echo ROW b; echo BENCH b 5 5 7; exit 4",
                        "echo ROW c; echo BENCH c 5 5 7; echo DONE")
        outputs = runs.run_bench(runner, ["a", "b", "c"], broken, SETTINGS)
        self.assertEqual(runner.asked, ["a,b,c", "c"])
        self.assertEqual([list(made.times) for made in outputs], [["a"], ["c"]])
        self.assertEqual(broken, {"b": "status 4 in row b: BENCH b 5 5 7"})

    def test_silence_and_a_start_that_fails(self):
        broken = {}
        quick = types.SimpleNamespace(**{**vars(SETTINGS), "silence_s": 0.2})
        runs.run_bench(Script("echo ROW a; exec sleep 60"), ["a"], broken, quick)
        self.assertEqual(broken, {"a": "no output for 0.2 s in row a"})
        broken = {}
        runs.run_bench(Script("echo no engine >&2; exit 3"), ["a", "b"], broken, SETTINGS)
        self.assertEqual(broken, dict.fromkeys("ab", "status 3 before the first row: no engine"))

    def test_a_run_that_does_not_end_keeps_its_figures(self):
        broken = {}
        quick = types.SimpleNamespace(**{**vars(SETTINGS), "silence_s": 0.2})
        (made,) = runs.run_bench(Script("echo ROW a; echo BENCH a 5 5 7; echo DONE; exec sleep 60"), ["a"], broken, quick)
        self.assertEqual(made.times, {"a": [5]})
        self.assertEqual(list(broken), ["(end)"])

    def test_kernel_messages_are_not_figures(self):
        made = runs.Output()
        for line in ["[ 1.0] BENCH a 5 5 7", "BENCH a 5", "BENCH a x 5 7", "BENCH a 5 5 7\r"]:
            made.read_line(line, 0, 0)
        self.assertEqual(made.times, {"a": [5]})


class Table(unittest.TestCase):
    def results(self):
        results = Results(["a", "b"], ["boot"], ["tcg", "bt"])
        for native, tcg in ((10, 40), (20, 40), (10, 30)):
            results.add_outputs("native", [output(a=[native * SECOND, 9 * SECOND, 99 * SECOND], b=[SECOND])])
            results.add_outputs("tcg", [output(a=[tcg * SECOND], b=[9 * SECOND])])
            results.add_outputs("bt", [output(a=[native * SECOND])])
        for seconds in (9, 10, 12):
            results.add_boot("tcg", "boot", seconds, 4)
            results.add_boot("bt", "boot", seconds / 2, 3)
        return results

    def test_ratios_are_taken_within_a_round(self):
        results = self.results()
        self.assertEqual(results.ratios("tcg", "a"), [4, 2, 3])
        self.assertEqual(results.ratios("bt", "b"), [])

    def test_mean_is_over_rows_that_all_have(self):
        results = self.results()
        self.assertEqual(results.common_rows(), ["a"])
        self.assertAlmostEqual(results.geometric_mean("tcg"), 3)
        results.add_outputs("bt", [output(b=[SECOND])])
        results.times["bt", "b"] = [[SECOND]] * 3
        self.assertAlmostEqual(results.geometric_mean("tcg"), 27 ** 0.5)

    def test_cpu_time(self):
        native, guest = runs.Output(is_native=True), runs.Output()
        for made in native, guest:
            for line, cpu in (("ROW a", 40), ("BENCH a 5 10 7", 70), ("BENCH a 5 10 7", 100), ("ROW b", 900), ("BENCH b 5 10 7", 950)):
                made.read_line(line, 0, cpu)
        self.assertEqual(native.cpu, {"a": [10, 10], "b": [10]})
        self.assertEqual(guest.cpu, {"a": [30, 30], "b": [50]})
        results = Results(["a", "b"], [], ["bt"])
        results.add_outputs("native", [native])
        results.add_outputs("bt", [guest])
        self.assertEqual(results.ratios("bt", "b", "cpu"), [5])
        self.assertAlmostEqual(results.geometric_mean("bt", "cpu"), 15 ** 0.5)

    def test_cpu_time_of_a_process(self):
        seen = []
        runs.run_process(["sh", "-c", "echo a; i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done; echo b; sleep 0.1; echo c"], 60,
                         lambda line, _, cpu_ns: seen.append(cpu_ns))
        self.assertGreater(seen[1] - seen[0], seen[2] - seen[1])

    def test_text(self):
        results = self.results()
        results.note("bt: b: status 4 in row b")
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in render(results).splitlines()]
        self.assertIn(["a", "10000 (10000-20000)", "3.00x (2.00-4.00)", "3.00x (2.00-4.00)", "1.00x (1.00-1.00)", "1.00x (1.00-1.00)"], lines)
        self.assertIn(["b", "1000 (1000-1000)", "9.00x (9.00-9.00)", "9.00x (9.00-9.00)", "-", "-"], lines)
        self.assertIn(["geometric mean of 1 rows", "", "3.00x", "3.00x", "1.00x", "1.00x"], lines)
        self.assertIn(["boot", "10.0 s (9.00-12.0)", "5.00 s (4.50-6.00) = 0.50 of tcg"], lines)
        self.assertIn(["boot, CPU time", "4.00 s (4.00-4.00)", "3.00 s (3.00-3.00) = 0.75 of tcg"], lines)
        self.assertIn(["- bt: b: status 4 in row b"], lines)

    def test_a_wrong_result_shows(self):
        results = Results(["a"], [], ["bt"])
        results.add_outputs("native", [output(a=[5])])
        wrong = runs.Output()
        wrong.read_line("BENCH a 5 5 8", 0, 0)
        results.add_outputs("bt", [wrong])
        self.assertIn("1.00x WRONG RESULT", render(results))
        self.assertEqual(results.as_json()["rows"][0]["wrong"], ["bt"])

    def test_a_guest_clock_that_lies_is_noted(self):
        results = Results(["a"], [], ["bt"])
        slow = runs.Output()
        slow.read_line("CLOCK 0", 0, 0)
        slow.read_line(f"CLOCK {4 * SECOND}", 5 * SECOND, 0)
        results.add_outputs("bt", [slow])
        self.assertIn("ran at 0.80 of the host's", results.notes[0])


if __name__ == "__main__":
    GUEST = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
