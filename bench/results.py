"""From what was measured to medians, goals and a page."""

import statistics

from goals import goals
from questions import LOG_BYTES, PUT_SYNC_BYTES

COLUMNS = ["a second", "from - to", "p50 us", "p99 us", "server CPU us", "while serving", "generator CPU us"]
NOT_HERE = (
    "Goals 9, 10 and 12 take minutes and are asked with `--long` only. Goal 11 is asked of as many items as `--items` says, and "
    "of a tenth of their bytes as memory."
)
RAW = ["append_fdatasync", "overwrite_fdatasync", "direct_dsync"]


class Figures:
    """Medians of what was measured. What was not, or broke, is None."""

    def __init__(self, measured):
        self.measured = measured

    def rounds(self, question, contender):
        return [answer for answer in self.measured.get(question, {}).get(contender, []) if "broken" not in answer]

    def of(self, question, contender, *path):
        values = [dig(answer, path) for answer in self.rounds(question, contender)]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def spread(self, question, contender, *path):
        values = [value for answer in self.rounds(question, contender) if (value := dig(answer, path)) is not None]
        return (min(values), max(values)) if values else None

    def disk(self, size, kind, name):
        values = [
            row[name] for answer in self.rounds("disk", "disk") for row in answer["writes"]
            if row["bytes"] == size and row["kind"] == kind
        ]  # fmt: skip
        return statistics.median(values) if values else None

    def best_raw_mb(self, size):
        values = [value for kind in RAW if (value := self.disk(size, kind, "mb_per_second")) is not None]
        return max(values) if values else None

    def best_raw_p50_us(self, size):
        values = [value for kind in RAW if (value := self.disk(size, kind, "p50_us")) is not None]
        return min(values) if values else None


def dig(value, path):
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def outcome(facts, versions, notes, missing, options, asked, measured):
    """All of it, for programs."""
    answers = [
        (f"{question}, {contender}", answer)
        for question, contenders in measured.items()
        for contender, answers in contenders.items()
        for answer in answers
    ]
    broken = [f"{who}: {answer['broken']}" for who, answer in answers if "broken" in answer]
    broken += [
        f"{who}: {answer['failures']} requests refused, the first with {answer['first_failure']}"
        for who, answer in answers
        if answer.get("failures")
    ]
    return {
        "machine": facts,
        "versions": versions,
        "acknowledges": notes,
        "missing": missing,
        "broken": broken,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "goals": goals(Figures(measured)),
        "questions": {question.name: question.title for question in asked},
        "measured": measured,
    }


def markdown(outcome):
    """All of it, for people."""
    figures = Figures(outcome["measured"])
    parts = [head(outcome), goal_lines(outcome), figure_lines(outcome, figures), lag_lines(figures), disk_lines(figures)]
    parts += [contender_lines(outcome)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def head(outcome):
    facts = outcome["machine"]
    return [
        "# Results",
        "",
        f"{facts['date']}: {facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, Linux {facts['kernel']}, "
        f"{facts['file_system']}; load {facts['load']} when it began.",
        f"Medians of {outcome['rounds']} rounds of {outcome['seconds']:g} s each, contenders interleaved, load generator and "
        "server on the same cores.",
        "Made by `bench/run`; [README.md](README.md) says how it is measured.",
    ]


def goal_lines(outcome):
    lines = ["## Goals", "", "| # | what | measured | goal | |", "|---|---|---|---|---|"]
    for goal in outcome["goals"]:
        verdict = "reached" if goal["reached"] else "**not reached**"
        figure = number(goal["figure"]) + goal["unit"]
        lines.append(f"| {goal['number']} | {goal['what']} | {figure} | {goal['goal']} | {verdict} |")
    lines += ["", NOT_HERE]
    return lines if outcome["goals"] else []


def figure_lines(outcome, figures):
    lines = ["## Figures", "", "| " + " | ".join(["question", "who", *COLUMNS]) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    for question, title in outcome["questions"].items():
        if question == "disk":
            continue
        for contender in outcome["measured"].get(question, {}):
            lines.append(f"| {title} | {contender} | {figure_cells(figures, question, contender)} |")
    lines += [
        "",
        "Server CPU is user and system time of the whole process for an operation: an item, or a reading. The first figure is all",
        "of it, for Thalweg with flushing and merging until it has caught up.",
    ]
    return lines


def lag_lines(figures):
    told = []
    for question, who, what in [("followers", "thalweg", "followers"), ("mqtt", "mosquitto", "subscribers")]:
        p50, p99 = (figures.of(question, who, what, "lag_us", share) for share in ["p50", "p99"])
        if p50 is not None:
            lag = f"p50 {number(p50)} us, p99 {number(p99)} us"
            told.append(f"From when a reading was due to one of {who}'s {what} being told: {lag}.")
    return told


def contender_lines(outcome):
    lines = ["## Who took part", "", "| who | version | acknowledges |", "|---|---|---|"]
    lines += [f"| {name} | {version} | {outcome['acknowledges'][name]} |" for name, version in outcome["versions"].items()]
    for name, reason in outcome["missing"].items():
        lines += ["", f"Missing: **{name}** ({reason})."]
    for text in outcome["broken"]:
        lines += ["", f"Broken: {text}."]
    return lines


def figure_cells(figures, question, contender):
    spread = figures.spread(question, contender, "per_second")
    cells = [
        number(figures.of(question, contender, "per_second")),
        f"{number(spread[0])} - {number(spread[1])}" if spread else "-",
        number(figures.of(question, contender, "latency_us", "p50")),
        number(figures.of(question, contender, "latency_us", "p99")),
        number(figures.of(question, contender, "server", "cpu_us_per_operation")),
        number(figures.of(question, contender, "server", "cpu_us_per_operation_while_serving")),
        number(figures.of(question, contender, "generator", "cpu_us_per_operation")),
    ]
    return " | ".join(cells)


def disk_lines(figures):
    kinds = [kind for kind in [*RAW, "thalweg_log"] if figures.disk(PUT_SYNC_BYTES, kind, "p50_us") is not None]
    if not kinds:
        return []
    names = " | ".join(kind.replace("_", " ") for kind in kinds)
    lines = ["## The disk", "", "Median time of one write and sync, and bytes a second, one write after the other.", ""]
    lines += [f"| bytes | {names} |", "|---" * (len(kinds) + 1) + "|"]

    def cell(size, kind):
        return f"{number(figures.disk(size, kind, 'p50_us'))} us, {number(figures.disk(size, kind, 'mb_per_second'))} MB/s"

    for size in [PUT_SYNC_BYTES, *LOG_BYTES]:
        lines.append(f"| {size} | " + " | ".join(cell(size, kind) for kind in kinds) + " |")
    return lines


def number(value):
    """Three digits that count, as people read them."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
