// One curve as SVG, drawn anew with every change: some sixty elements, a millisecond or two.
import { digits, svg } from "./elements.js";
import { along } from "./plateau.js";

const WIDTH = 330, HEIGHT = 225;
const LEFT = 42, RIGHT = WIDTH - 12, TOP = 22, BOTTOM = HEIGHT - 36;
const TICKS = [1, 2, 5, 9, 17, 33, 65, 129, 257, 513];

const line = (kind, x1, y1, x2, y2, more = {}) => svg("line", { class: kind, x1, y1, x2, y2, ...more });
const text = (kind, x, y, words, more = {}) => svg("text", { class: kind, x, y, ...more }, words);
const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");
const percent = (value) => `${(100 * value).toFixed(0)}%`;

// About four round numbers between two values, and how many decimals they need.
function roundNumbers(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough);
  const first = Math.ceil(low / step);
  const numbers = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
  return { numbers, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function range(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = high - low > 1e-9 ? 0.08 * (high - low) : 0.05; // a flat curve lies in the middle
  return [low - margin, high + margin];
}

// The axes of a panel with steps 1 to `last` on a logarithmic one, t* marked on it; and where a point lies.
function axes(label, [low, high], last, tStar, written) {
  const x = (step) => LEFT + ((RIGHT - LEFT) * Math.log(step)) / Math.log(Math.max(last, 2));
  const y = (value) => BOTTOM - ((BOTTOM - TOP) * (value - low)) / (high - low);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const { numbers, decimals } = roundNumbers(low, high);
  for (const value of numbers) {
    const words = written ? written(value) : value.toFixed(decimals);
    drawing.append(line("grid", LEFT, y(value), RIGHT, y(value)));
    drawing.append(text("tick", LEFT - 6, y(value) + 3.5, words, { "text-anchor": "end" }));
  }
  for (const step of TICKS.filter((step) => step <= last)) {
    drawing.append(line("axis", x(step), BOTTOM, x(step), BOTTOM + 4));
    drawing.append(text("tick", x(step), BOTTOM + 16, step, { "text-anchor": "middle" }));
  }
  drawing.append(line("axis", LEFT, BOTTOM, RIGHT, BOTTOM));
  drawing.append(text("title", (LEFT + RIGHT) / 2, HEIGHT - 4, "denoising steps", { "text-anchor": "middle" }));
  drawing.append(line("tstar", x(tStar), TOP, x(tStar), BOTTOM));
  const over = Math.min(Math.max(x(tStar), LEFT + 22), RIGHT - 22);
  drawing.append(text("tstar-name", over, TOP - 7, `t* = ${tStar}`, { "text-anchor": "middle" }));
  return { drawing, x, y };
}

// The panel of one metric. `view` has: curve, the values that Eq. 7 reads at steps 1, 2, ...; plain, the same without
// noise; rings, the measured points as [step, value]; plateau; tStar; level, the threshold; weight; last, of the axis.
export function panel(metric, view) {
  const { curve, plain, rings, plateau, tStar, level, weight, last } = view;
  const [low, high] = range([...curve, ...plain, ...rings.map(([, value]) => value)]);
  const ends = `${digits(curve[0])} at step 1, ${digits(curve.at(-1))} at step ${curve.length}`;
  const label = `${metric.label} over the denoising steps: ${ends}; flat after step ${plateau}, t* is ${tStar}`;
  const { drawing, x, y } = axes(label, [low, high], last, tStar);
  const points = (values) => values.map((value, index) => [x(index + 1), y(value)]);

  if (level > low && level < high) {
    const words = `median ${metric.lower ? "+" : "−"} ${weight} std`;
    const late = x(plateau) > (LEFT + RIGHT) / 2; // then the plateau's own number is at the right
    const [end, anchor] = late ? [LEFT + 4, "start"] : [RIGHT, "end"];
    drawing.append(line("threshold", LEFT, y(level), RIGHT, y(level)));
    drawing.append(
      text("tick", end, y(level) + (metric.lower || late ? -5 : 13), words, { "text-anchor": anchor }),
    );
  }
  drawing.append(line("plateau", x(plateau), y(curve[plateau - 1]), x(plateau), BOTTOM));

  if (plain !== curve) drawing.append(svg("path", { class: "plain", d: path(points(plain)) }));
  drawing.append(svg("path", { class: "curve", d: path(points(curve)), "stroke-dasharray": metric.dash.join(" ") }));
  for (const [step, value] of rings)
    drawing.append(svg("circle", { class: "ring", cx: x(step), cy: y(value), r: 3.2 }));
  const [dotX, dotY] = [x(plateau), y(curve[plateau - 1])];
  drawing.append(svg("circle", { class: "dot", cx: dotX, cy: dotY, r: 5 }));
  const [dx, side] = dotX > RIGHT - 30 ? [-6, "end"] : [6, "start"];
  drawing.append(text("number", dotX + dx, dotY + (metric.lower ? -9 : 18), plateau, { "text-anchor": side }));
  return drawing;
}

// How much of what was asked the pictures show, from the measured points as [step, value], and what to say of it.
export function askedPanel(asked, rings, tStar, last) {
  const [steps, values] = [rings.map(([step]) => step), rings.map(([, value]) => value)];
  const say = asked.percent ? percent : digits;
  const [atStar, atEnd] = [along(steps, values, tStar), values.at(-1)];
  const about = steps.includes(tStar) ? "" : "about "; // on the line between two that were measured
  const words = `At t* ${about}${say(atStar)} ${asked.unit}; at ${steps.at(-1)} steps, ${say(atEnd)}`;
  const label = `${asked.label} over the denoising steps, no part of t*. ${words}`;
  const ends = asked.percent ? [-0.04, 1.04] : range(values);
  const { drawing, x, y } = axes(label, ends, last, tStar, asked.percent ? percent : null);
  const curve = Array.from({ length: steps.at(-1) }, (_, index) => along(steps, values, index + 1));
  const drawn = path(curve.map((value, index) => [x(index + 1), y(value)]));
  drawing.append(svg("path", { class: "curve", d: drawn, "stroke-dasharray": asked.dash.join(" ") }));
  for (const [step, value] of rings)
    drawing.append(svg("circle", { class: "ring", cx: x(step), cy: y(value), r: 3.2 }));
  drawing.append(svg("circle", { class: "dot", cx: x(tStar), cy: y(atStar), r: 5 }));
  return { drawing, words };
}
