"""Results as rows, as JSON, and as the Markdown table of the README."""

import json
import re

BEGIN, END = "<!-- cells -->", "<!-- /cells -->"


class Results:
    """Values by cell, workload, measure and column; the columns are "1", "2" (shards) and "limit"."""

    def __init__(self):
        self.conditions = {}
        self.rows = {}
        self.runs = []

    def put(self, cell, workload, measure, column, value):
        self.rows.setdefault(cell, {}).setdefault(workload, {}).setdefault(measure, {})[column] = value

    def write(self, path):
        path.write_text(json.dumps({"conditions": self.conditions, "rows": self.rows, "runs": self.runs}, indent=1) + "\n")

    @staticmethod
    def read(path):
        results = Results()
        stored = json.loads(path.read_text())
        results.conditions, results.rows, results.runs = stored["conditions"], stored["rows"], stored["runs"]
        return results

    def merge(self, newer):
        """Cells of `newer` take the place of the same cells here."""
        self.rows.update(newer.rows)
        self.runs = [run for run in self.runs if run["cell"] not in newer.rows] + newer.runs
        self.conditions = newer.conditions

    def markdown(self):
        conditions = self.conditions
        lines = [
            f"{conditions['date']}, {conditions['machine']}.",
            f"{conditions['seconds']:g} s a run, {conditions['memory']}; payloads half compressible, not compressed.",
            f"{len(self.runs)} runs with {sum(run.get('records_verified', 0) for run in self.runs):,} records counted in the log and"
            " read back with their CRCs.",
            f"Steal at most {max((run.get('steal_percent', 0) for run in self.runs), default=0):.1f} % of a run;"
            f" io_uring workers at most {max((run.get('iou_workers_max', 0) for run in self.runs), default=0)}.",
            "",
            "| Cell | Workload | Measure | 1 shard | 2 shards | Limit |",
            "|---|---|---|---:|---:|---:|",
        ]
        for cell in sorted(self.rows, key=lambda name: int(re.sub(r"\D", "", name) or 0)):
            shown_cell = cell
            for workload, measures in self.rows[cell].items():
                shown_workload = workload
                for measure, columns in measures.items():
                    values = " | ".join(shown(columns.get(column)) for column in ("1", "2", "limit"))
                    lines.append(f"| {shown_cell} | {shown_workload} | {measure} | {values} |")
                    shown_cell = shown_workload = ""
        return "\n".join(lines) + "\n"


def shown(value):
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.3f}"


def fill_readme(path, table):
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"cells: {path} must hold {BEGIN} and {END} once")
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}")
