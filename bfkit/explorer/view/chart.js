// One metric's curve as SVG, drawn anew with every change: some sixty elements, a millisecond or two.
import { svg } from "./elements.js";

const WIDTH = 330, HEIGHT = 225;
const LEFT = 42, RIGHT = WIDTH - 12, TOP = 22, BOTTOM = HEIGHT - 36;
const TICKS = [1, 2, 5, 9, 17, 33, 65, 129, 257, 513];

const line = (kind, x1, y1, x2, y2, more = {}) => svg("line", { class: kind, x1, y1, x2, y2, ...more });
const text = (kind, x, y, words, more = {}) => svg("text", { class: kind, x, y, ...more }, words);
const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");

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

// The panel of one metric. `view` has: curve, the values that Eq. 7 reads at steps 1, 2, ...; plain, the same without
// noise; rings, the measured points as [step, value]; plateau; tStar; level, the threshold; weight; last, of the axis.
export function panel(metric, view) {
  const { curve, plain, rings, plateau, tStar, level, weight, last } = view;
  const [low, high] = range([...curve, ...plain, ...rings.map(([, value]) => value)]);
  const x = (step) => LEFT + ((RIGHT - LEFT) * Math.log(step)) / Math.log(Math.max(last, 2));
  const y = (value) => BOTTOM - ((BOTTOM - TOP) * (value - low)) / (high - low);
  const points = (values) => values.map((value, index) => [x(index + 1), y(value)]);

  const label = `${metric.label} over 1 to ${last} denoising steps; plateau at ${plateau}, t* at ${tStar}`;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });

  const { numbers, decimals } = roundNumbers(low, high);
  for (const value of numbers) {
    drawing.append(line("grid", LEFT, y(value), RIGHT, y(value)));
    drawing.append(text("tick", LEFT - 6, y(value) + 3.5, value.toFixed(decimals), { "text-anchor": "end" }));
  }
  for (const step of TICKS.filter((step) => step <= last)) {
    drawing.append(line("axis", x(step), BOTTOM, x(step), BOTTOM + 4));
    drawing.append(text("tick", x(step), BOTTOM + 16, step, { "text-anchor": "middle" }));
  }
  drawing.append(line("axis", LEFT, BOTTOM, RIGHT, BOTTOM));
  drawing.append(text("title", (LEFT + RIGHT) / 2, HEIGHT - 4, "denoising steps", { "text-anchor": "middle" }));

  drawing.append(line("tstar", x(tStar), TOP, x(tStar), BOTTOM));
  if (level > low && level < high) {
    const words = `median ${metric.lower ? "+" : "−"} ${weight} std`;
    const late = x(plateau) > (LEFT + RIGHT) / 2; // then the plateau's own number is at the right
    const [end, anchor] = late ? [LEFT + 4, "start"] : [RIGHT, "end"];
    drawing.append(line("threshold", LEFT, y(level), RIGHT, y(level)));
    drawing.append(
      text("tick", end, y(level) + (metric.lower || late ? -5 : 13), words, { "text-anchor": anchor }),
    );
  }
  const over = Math.min(Math.max(x(tStar), LEFT + 22), RIGHT - 22);
  drawing.append(text("tstar-name", over, TOP - 7, `t* = ${tStar}`, { "text-anchor": "middle" }));
  drawing.append(line("plateau", x(plateau), y(curve[plateau - 1]), x(plateau), BOTTOM, { stroke: metric.color }));

  if (plain !== curve) drawing.append(svg("path", { class: "plain", d: path(points(plain)), stroke: metric.color }));
  const dash = metric.dash.join(" ");
  drawing.append(
    svg("path", { class: "curve", d: path(points(curve)), stroke: metric.color, "stroke-dasharray": dash }),
  );
  for (const [step, value] of rings)
    drawing.append(svg("circle", { class: "ring", cx: x(step), cy: y(value), r: 3.2, stroke: metric.color }));
  const [dotX, dotY] = [x(plateau), y(curve[plateau - 1])];
  drawing.append(svg("circle", { cx: dotX, cy: dotY, r: 5, fill: metric.color }));
  const [dx, side] = dotX > RIGHT - 30 ? [-6, "end"] : [6, "start"];
  drawing.append(text("number", dotX + dx, dotY + (metric.lower ? -9 : 18), plateau, { "text-anchor": side }));
  return drawing;
}
