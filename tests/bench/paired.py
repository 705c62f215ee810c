"""What something costs a producer, told apart from what the host does meanwhile: for put_under_load.py and watched.py.

    block     ├─ quiet ─┤├── it happens ──┤├─ quiet ─┤        a steady drift falls on both alike
    windows   ▕▏▕▏▕▏▕▏▕▏  ▕▏▕▏▕▏▕▏▕▏▕▏▕▏▕▏▕▏  ▕▏▕▏▕▏▕▏▕▏       put_windows.c: one producer, all the time

A block's times are those of the windows that lie wholly in its parts, added up; what lies between the parts is not counted. Its ratio is
the p99.9 of the middle part ÷ that of the two quiet ones. A percentile is that of grouped data, interpolated within the timer's step
(base/put_timer.h).

What the host does otherwise is left out by counts that do not know what the puts took, on both sides alike. A put: for the moment after
something else had the producer's CPU (put_windows.c). A block: when the hypervisor stole more than MOST_STOLEN of a CPU's time,
something else had more than MOST_STOLEN of the producer's, or processes that are none of ours used more than MOST_FOREIGN of one,
in any of its parts. What happens might itself be what takes the producer's CPU: so it is said how often that was on both sides, and
the figures of all puts stand beside those of the undisturbed.

The figure is the median of the blocks' ratios, with an interval that holds the true median with CONFIDENCE, whatever the distribution:
from the i-th smallest to the i-th largest of n ratios, by the binomial distribution (the sign test turned around). Its verdict on an
aim is "yes" when the whole interval keeps it, "no" when none of it does, and otherwise "cannot be told"."""

import json
import math
import os
import statistics
import subprocess
import threading
import time

WINDOW_SECONDS = 0.05
PART_SECONDS = 0.25  # a quiet part; what is between the two takes twice as long
CONFIDENCE = 0.95
MOST_STOLEN = 0.02
MOST_FOREIGN = 0.05
SETTLE_SECONDS = 0.4  # after what happened
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
KTHREADD = 2


def clock_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Producer:
    """put_windows, pinned to a CPU of its own (or not, and sleeping between puts)."""

    def __init__(self, recorder, rows_per_s, cpu=None):
        self.pinned = cpu is not None
        self.process = recorder.popen("put_windows", recorder.region, "quotes", rows_per_s, round(WINDOW_SECONDS * 1000),
                                      *([] if cpu is not None else ["sleep"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if cpu is not None:
            os.sched_setaffinity(self.process.pid, {cpu})
        self.about = json.loads(self.process.stdout.readline())
        self.windows = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.windows.append(json.loads(line))

    def between(self, begin_ns, end_ns):
        """The windows that lie there; waits until they are all told."""
        while self.windows == [] or self.windows[-1]["to_ns"] < end_ns:
            if self.process.poll() is not None:
                raise RuntimeError(f"put_windows ended with {self.process.returncode}")
            time.sleep(0.01)
        found = [w for w in self.windows if w["from_ns"] >= begin_ns and w["to_ns"] <= end_ns]
        del self.windows[:-1]
        return found

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.reader.join()
        self.process.stdout.close()


class Times:
    """Of puts, in buckets of ticks. which: times, or undisturbed."""

    def __init__(self, about, windows, which):
        self.about = about
        self.buckets = {}
        for window in windows:
            for least, most, count in window[which]:
                self.buckets[least, most] = self.buckets.get((least, most), 0) + count

    def count(self):
        return sum(self.buckets.values())

    def quantile_ns(self, share):
        """A bucket's samples lie evenly over it, or over one step of the timer around its middle."""
        edges = []
        for (least, most), count in self.buckets.items():
            width = max(most - least + 1, self.about["step_ticks"])
            middle = (least + most) / 2
            edges += [(middle - width / 2, count / width), (middle + width / 2, -count / width)]
        wanted, below, slope, at = share * self.count(), 0.0, 0.0, 0.0
        for edge, change in sorted(edges):
            if slope > 0 and below + slope * (edge - at) >= wanted:
                at += (wanted - below) / slope
                break
            below, slope, at = below + slope * (edge - at), slope + change, edge
        return max(at - self.about["overhead_ticks"], 0) * self.about["tick_ns"]


class Host:
    """What the hypervisor and processes that are none of ours take, from here on."""

    def __init__(self):
        self.wall, self.stolen, self.foreign = clock_ns(), self.stolen_seconds(), self.foreign_seconds()

    @staticmethod
    def stolen_seconds():
        with open("/proc/stat", encoding="ascii") as file:
            return int(next(file).split()[8]) * TICK_SECONDS

    @staticmethod
    def foreign_seconds():
        """CPU seconds by process, of all that are neither this one, nor started by it, nor the kernel's."""
        parents, used = {}, {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue  # it has ended
            parents[int(name)], used[int(name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) * TICK_SECONDS

        def chain(pid):
            while pid:
                yield pid
                pid = parents.get(pid, 0)

        return {pid: seconds for pid, seconds in used.items() if not {os.getpid(), KTHREADD} & set(chain(pid))}

    def disturbed(self):
        """Shares of a CPU since, (stolen, foreign). What began and ended between is not seen."""
        wall = (clock_ns() - self.wall) / 1e9
        foreign = sum(max(seconds - self.foreign.get(pid, 0), 0) for pid, seconds in self.foreign_seconds().items() if pid in self.foreign)
        return (self.stolen_seconds() - self.stolen) / wall, foreign / wall


class Part:
    """A time in which nothing is begun or ended."""

    def __init__(self, producer, seconds):
        host, begin = Host(), clock_ns()
        time.sleep(seconds + WINDOW_SECONDS)  # windows begin when they like
        end = clock_ns()
        self.stolen, self.foreign = host.disturbed()
        self.windows = producer.between(begin, end)
        if producer.pinned:
            self.stolen = max(self.stolen, sum(w["gaps_ns"] for w in self.windows) / 1e9 / seconds)

    def disturbed(self):
        return self.stolen > MOST_STOLEN or self.foreign > MOST_FOREIGN


class Trial:
    """Blocks of one thing that happens: begin and end start it and stop it; end may wait until its traces are gone."""

    def __init__(self, producer, begin, end):
        self.producer, self.begin, self.end = producer, begin, end
        self.blocks = []
        self.left_out = 0
        self.full = 0

    def block(self):
        parts = [Part(self.producer, PART_SECONDS)]
        self.begin()
        try:
            parts.append(Part(self.producer, 2 * PART_SECONDS))
        finally:
            self.end()
        time.sleep(SETTLE_SECONDS)
        parts.append(Part(self.producer, PART_SECONDS))
        self.full = parts[-1].windows[-1]["full"]
        if any(part.disturbed() for part in parts):
            self.left_out += 1
        else:
            self.blocks.append((parts[0].windows + parts[2].windows, parts[1].windows))

    def times(self, windows, which):
        return Times(self.producer.about, windows, which)

    def side(self, i):
        """Pooled over the blocks: 0: quiet, 1: it happens."""
        windows = [window for block in self.blocks for window in block[i]]
        result = {"gaps_per_s": round(sum(w["gaps"] for w in windows) / (len(windows) * WINDOW_SECONDS or 1), 1)}
        for which in ("times", "undisturbed"):
            times = self.times(windows, which)
            result[which] = {"puts": times.count()} | {name: round(times.quantile_ns(share), 2) for name, share in
                                                       (("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999))}
        return result

    def ratio(self, which, most):
        pairs = [[self.times(windows, which).quantile_ns(0.999) for windows in block] for block in self.blocks]
        ratio = median_interval([it / quiet for quiet, it in pairs if quiet > 0])
        return ratio | {"verdict": verdict(ratio, most)}

    def result(self, most):
        return {"blocks": len(self.blocks), "blocks_left_out": self.left_out, "quiet": self.side(0), "it": self.side(1),
                "ratio": self.ratio("undisturbed", most), "ratio_of_all": self.ratio("times", most)}


def rank(count):
    """How many of the smallest, and of the largest, values the interval leaves out; None: too few for one."""
    tail, left_out = 0.0, None
    for i in range(count // 2):
        tail += math.comb(count, i) / 2 ** count
        if 2 * tail > 1 - CONFIDENCE:
            break
        left_out = i
    return left_out


def median_interval(values):
    values = sorted(values)
    i = rank(len(values))
    if not values:
        return {"median": 0, "low": 0, "high": 0, "interval": False}
    low, high = (values[0], values[-1]) if i is None else (values[i], values[-1 - i])
    return {"median": round(statistics.median(values), 4), "low": round(low, 4), "high": round(high, 4), "interval": i is not None}


def verdict(ratio, most):
    if ratio["interval"] and ratio["high"] <= most:
        return "yes"
    return "no" if ratio["interval"] and ratio["low"] > most else "cannot be told"
