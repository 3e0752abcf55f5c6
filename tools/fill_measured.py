"""Fill the table of measured figures in the READMEs from a recorded run of ``make bench``.

Usage::

    python tools/fill_measured.py benchmarks/results/DATE.json    # write
    python tools/fill_measured.py --check                         # does the table say what its file says?

The table names its file, so no figure stands there that was not measured. ``--check`` runs as a test.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SOURCE = re.compile(r"\(benchmarks/results/([\w.:-]+\.json)\)")
READMES = ("README.md", "README.zh-CN.md")

# scenario, figure -> what it is called in English and in Chinese, unit
ROWS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("A16", "consume_rate"): (
        "16 B, transient, automatic acks",
        "16 字节，非持久，自动确认",
        "/s",
    ),
    ("A1k", "consume_rate"): ("1 KiB, the same", "1 KiB，同上", "/s"),
    ("A64k", "consume_rate"): ("64 KiB, the same", "64 KiB，同上", "/s"),
    ("B16", "confirm_rate"): (
        "16 B, persistent, confirmed (window 1,000), acked",
        "16 字节，持久，发布确认（窗口 1000），手动确认",
        "/s",
    ),
    ("B1k", "confirm_rate"): ("1 KiB, the same", "1 KiB，同上", "/s"),
    ("B1k_w1", "confirm_rate"): ("1 KiB, window 1", "1 KiB，窗口 1", "/s"),
    ("B1k_10p", "confirm_rate"): (
        "1 KiB, ten producers and consumers",
        "1 KiB，十个生产者和消费者",
        "/s",
    ),
    ("C16", "consume_rate"): ("fanout to 10 queues", "fanout 到 10 个队列", "/s"),
    ("D16", "consume_rate"): ("direct, 100 queues", "direct，100 个队列", "/s"),
    ("D16_topic", "consume_rate"): ("topic, 100 queues", "topic，100 个队列", "/s"),
    ("E16", "consume_rate"): ("drain of a million", "取走一百万条积压", "/s"),
    ("F5k", "p50_us"): ("latency at 5,000/s, median", "每秒 5000 条时的延迟，中位数", "us"),
    ("F5k", "p99_us"): ("latency at 5,000/s, p99", "每秒 5000 条时的延迟，p99", "us"),
    ("Hconn", "per_s"): ("connections opened and closed", "连接的打开和关闭", "/s"),
    ("Hqueue", "per_s"): ("queues declared and deleted", "队列的声明和删除", "/s"),
    ("A16", "broker_cpu_us_per_msg"): ("CPU for a 16 B message", "一条 16 字节消息的 CPU", "us"),
    ("E16", "bytes_per_message"): (
        "memory for a queued 16 B message",
        "一条排队的 16 字节消息",
        "B",
    ),
    ("G1000", "kb_per_connection"): ("memory for an idle connection", "一个空闲连接", "KB"),
}


def number(value: float | None, unit: str) -> str:
    """Three digits at least, thousands apart; a dash for nothing."""
    if value is None:
        return "-"
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text + (unit if unit.startswith("/") else f" {unit}")


def table(document: dict[str, Any], name: str, language: int) -> str:
    """The Markdown between the marks. ``language`` is 0 for English, 1 for Chinese."""
    found = {(v["scenario"], v["figure"]): v for v in document["verdicts"]}
    theirs = document["brokers"].get("rabbitmq", {}).get("version", "")
    machine = document["machine"]
    lines = [
        f"| {('scenario', '场景')[language]} | Posthouse | RabbitMQ {theirs} | {('ratio', '比值')[language]} |",
        "| --- | ---: | ---: | ---: |",
    ]
    for key, row in ROWS.items():
        verdict = found.get(key)
        if verdict is None or verdict["ours"] is None:
            continue
        ratio = verdict["ratio"]
        shown = f"{ratio:.3g}x" if ratio is not None and ratio < 100 else f"{ratio or 0:.0f}x"
        lines.append(
            f"| {row[language]} | {number(verdict['ours'], row[2])} | "
            f"{number(verdict['theirs'], row[2])} | {shown if ratio is not None else '-'} |"
        )
    runs, date = document["settings"]["runs"], str(document["date"])[:10]
    durability = document["settings"]["durability"]
    what = f"{machine['cores']} x {machine['cpu']}, {machine['system']}, Python {machine['python']}"
    link = f"[{name}](benchmarks/results/{name})"
    notes = (
        f"{date}, medians of {runs}, durability `{durability}`, on {what}; "
        f"a ratio is our worst run against RabbitMQ's best. All runs: {link}.",
        f"{date}，{runs} 次的中位数，持久性 `{durability}`，{what}；比值为我们最差的一次对 RabbitMQ 最好的一次。"
        f"全部数据：{link}。",
    )
    return "\n".join([*lines, "", notes[language]])


def between(text: str) -> str:
    """What stands between the marks."""
    return text.split(BEGIN, 1)[1].split(END, 1)[0].strip()


def check() -> list[str]:
    """Sentences about what is not as recorded."""
    problems: list[str] = []
    for language, readme in enumerate(READMES):
        text = (ROOT / readme).read_text(encoding="utf-8")
        if BEGIN not in text:
            problems.append(f"{readme}: the marks of the measured table are missing")
            continue
        written = between(text)
        source = SOURCE.search(written)
        if source is None:
            if re.search(r"\d+x \|", written):
                problems.append(f"{readme}: measured figures without the file they come from")
            continue
        path = ROOT / "benchmarks" / "results" / source[1]
        if not path.exists():
            problems.append(f"{readme}: {source[1]} is not in benchmarks/results")
        elif written != table(json.loads(path.read_text(encoding="utf-8")), source[1], language):
            problems.append(f"{readme}: the measured table differs from {source[1]}")
    return problems


def main(arguments: list[str]) -> int:
    """Write or check."""
    if arguments == ["--check"]:
        problems = check()
        print("\n".join(problems) or "the measured tables are as recorded")
        return 1 if problems else 0
    if len(arguments) != 1:
        print(__doc__)
        return 64
    path = pathlib.Path(arguments[0])
    document = json.loads(path.read_text(encoding="utf-8"))
    for language, readme in enumerate(READMES):
        file = ROOT / readme
        text = file.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN, 1)
        tail = rest.split(END, 1)[1]
        body = table(document, path.name, language)
        file.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
