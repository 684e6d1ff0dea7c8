"use strict";
// The last hour as three small plots. A plot draws the stats' `history` in SVG, as wide as its figure. Its caption has
// the figures of the minute under the pointer, or of the one chosen with the arrow keys.

const SVG = "http://www.w3.org/2000/svg";
const PLOT_HEIGHT = 132;
const PLOT_TOP = 16;
const PLOT_BOTTOM = PLOT_HEIGHT - 20;

/** The next 1, 2 or 5 times a power of ten; the scale ends there. */
function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function makeSvg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/**
 * `shape` is "area", "line" or "bars". Each of `series` has a name, a CSS class and its values of a history.
 * `format` formats a value, `summary` the caption while no minute is chosen. Bars are stacked.
 */
class Plot {
  constructor(figure, { title, shape, series, format, summary }) {
    Object.assign(this, { figure, title, shape, series, format, summary });
    this.readout = figure.querySelector("[data-readout]");
    this.svg = makeSvg("svg", { role: "img", tabindex: "0", height: PLOT_HEIGHT });
    this.figure.append(this.svg);
    this.history = null;
    this.chosen = null;
    this.listen();
  }

  listen() {
    new ResizeObserver(() => this.draw()).observe(this.figure);
    this.svg.addEventListener("pointermove", (event) => this.choose(this.minuteAt(event)));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("focus", () => this.readout.setAttribute("aria-live", "polite"));
    this.svg.addEventListener("blur", () => {
      this.readout.removeAttribute("aria-live");
      this.choose(null);
    });
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.history) return;
      event.preventDefault();
      const last = this.count - 1;
      this.choose(Math.min(last, Math.max(0, (this.chosen ?? last + (step < 0 ? 1 : 0)) + step)));
    });
  }

  update(history) {
    this.history = history;
    this.values = this.series.map((one) => one.read(history));
    this.count = this.values[0].length;
    this.draw();
  }

  choose(minute) {
    this.chosen = minute;
    this.draw();
  }

  minuteAt(event) {
    if (!this.history) return null;
    const { left, width } = this.svg.getBoundingClientRect();
    return Math.min(this.count - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * this.count)));
  }

  draw() {
    const width = Math.floor(this.svg.getBoundingClientRect().width);
    if (!this.history || width <= 0) return;
    const highest = Math.max(...this.totals());
    const top = niceCeiling(this.shape === "bars" ? Math.max(2, highest) : highest);
    const x = (minute) => (minute / this.count) * width;
    const y = (value) => PLOT_BOTTOM - (value / top) * (PLOT_BOTTOM - PLOT_TOP);
    const step = width / this.count;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${PLOT_HEIGHT}`);
    this.svg.setAttribute("aria-label", `${this.title}, last hour: ${this.summary(this.history)}`);
    const cursor = this.chosen === null ? [] : [this.cursorAt(x(this.chosen) + step / 2)];
    const drawn = highest > 0 ? this.marks(x, y, step) : [this.nothing(width)];
    const levels = highest > 0 ? [0, top / 2, top] : [0];
    this.svg.replaceChildren(...this.grid(width, levels, y), ...drawn, ...this.labels(width, levels, y), ...cursor);
    setText(this.readout, this.chosen === null ? this.summary(this.history) : this.describe(this.chosen));
  }

  /** The values that the scale must cover: the sums of stacked bars, else every value. */
  totals() {
    if (this.shape !== "bars") return this.values.flat().map((value) => value ?? 0);
    return this.values[0].map((_, minute) => this.values.reduce((sum, one) => sum + (one[minute] ?? 0), 0));
  }

  nothing(width) {
    const text = makeSvg("text", {
      x: width / 2,
      y: (PLOT_TOP + PLOT_BOTTOM) / 2,
      class: "plot-none",
      "text-anchor": "middle",
    });
    text.textContent = "nothing yet";
    return text;
  }

  grid(width, levels, y) {
    return levels.map((value) => {
      const place = { x1: 0, x2: width, y1: y(value), y2: y(value) };
      return makeSvg("line", { ...place, class: value ? "plot-grid" : "plot-base" });
    });
  }

  labels(width, levels, y) {
    const scale = levels.filter((value) => value).map((value) => this.label(0, y(value) - 4, this.format(value)));
    return [...scale, this.label(0, PLOT_HEIGHT - 4, "60 min ago"), this.label(width, PLOT_HEIGHT - 4, "now", "end")];
  }

  label(x, y, text, anchor = "start") {
    const label = makeSvg("text", { x, y, class: "plot-label", "text-anchor": anchor });
    label.textContent = text;
    return label;
  }

  cursorAt(x) {
    return makeSvg("line", { x1: x, x2: x, y1: PLOT_TOP - 6, y2: PLOT_BOTTOM, class: "plot-cursor" });
  }

  marks(x, y, step) {
    if (this.shape === "bars") return this.bars(x, y, step);
    return this.values.flatMap((values, at) => {
      const marks = [];
      for (const run of this.runs(values)) {
        const points = run.map((minute) => [x(minute) + step / 2, y(values[minute])]);
        marks.push(...this.run(points, this.series[at].className));
      }
      return marks;
    });
  }

  /** The runs of minutes that have a value. Gaps are not drawn. */
  runs(values) {
    const runs = [];
    values.forEach((value, minute) => {
      if (value === null) return;
      if (minute > 0 && values[minute - 1] !== null) runs.at(-1).push(minute);
      else runs.push([minute]);
    });
    return runs;
  }

  run(points, className) {
    if (points.length === 1) {
      const [[cx, cy]] = points;
      return [makeSvg("circle", { cx, cy, r: 2, class: `${className} plot-dot` })];
    }
    const line = points.map(([px, py], at) => `${at ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    const marks = [makeSvg("path", { d: line, class: `${className} plot-line` })];
    if (this.shape === "area") {
      const closed = `${line}L${points.at(-1)[0].toFixed(1)} ${PLOT_BOTTOM}L${points[0][0].toFixed(1)} ${PLOT_BOTTOM}Z`;
      marks.unshift(makeSvg("path", { d: closed, class: `${className} plot-area` }));
    }
    return marks;
  }

  bars(x, y, step) {
    const marks = [];
    for (let minute = 0; minute < this.count; minute += 1) {
      let below = 0;
      this.values.forEach((values, at) => {
        const value = values[minute] ?? 0;
        if (!value) return;
        const height = Math.max(1, y(below) - y(below + value));
        const place = { x: x(minute) + 0.5, y: y(below) - height, width: Math.max(1, step - 1), height };
        marks.push(makeSvg("rect", { ...place, class: `${this.series[at].className} plot-bar` }));
        below += value;
      });
    }
    return marks;
  }

  describe(minute) {
    const at = new Date(Date.parse(this.history.starts_at) + minute * this.history.step_s * 1000);
    const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const values = this.series.map((one, index) => {
      const value = this.values[index][minute];
      return `${one.name}${value === null ? "–" : this.format(value)}`;
    });
    return `${clock} · ${values.join(" · ")}`;
  }
}

/** Bytes of each minute as a rate. The current minute counts only for the time it has run. */
function ratesOf(history, now) {
  const started = Date.parse(history.starts_at);
  return history.bytes.map((bytes, minute) => {
    const run = (now - started) / 1000 - minute * history.step_s;
    return bytes === null ? null : bytes / Math.min(history.step_s, Math.max(5, run));
  });
}

function lastOf(values) {
  return values.findLast((value) => value !== null) ?? null;
}

function sumOf(values) {
  return values.reduce((sum, value) => sum + (value ?? 0), 0);
}

function makePlots() {
  const rates = (history) => ratesOf(history, serverNow());
  return [
    new Plot(byId("plot-rate"), {
      title: "Throughput",
      shape: "area",
      series: [{ name: "", className: "plot-accent", read: rates }],
      format: formatRate,
      summary: (history) => `${formatBytes(sumOf(history.bytes))} in the last hour`,
    }),
    new Plot(byId("plot-warm"), {
      title: "Push to warm",
      shape: "line",
      series: [
        { name: "p95 ", className: "plot-muted", read: (history) => history.warm_p95_s },
        { name: "median ", className: "plot-accent", read: (history) => history.warm_p50_s },
      ],
      format: formatSeconds,
      summary: (history) => {
        const [median, slow] = [lastOf(history.warm_p50_s), lastOf(history.warm_p95_s)];
        return median === null ? "nothing warmed yet" : `median ${formatSeconds(median)}, p95 ${formatSeconds(slow)}`;
      },
    }),
    new Plot(byId("plot-jobs"), {
      title: "Jobs a minute",
      shape: "bars",
      series: [
        { name: "done ", className: "plot-ok", read: (history) => history.done },
        { name: "failed ", className: "plot-bad", read: (history) => history.failed },
      ],
      format: formatCount,
      summary: (history) => `${formatCount(sumOf(history.done))} done, ${formatCount(sumOf(history.failed))} failed`,
    }),
  ];
}
