// What Eq. 7 reads off a prompt's curves, and what the answer costs.
import { digits } from "./elements.js";
import { plateauStep, threshold, withNoise } from "./plateau.js";

// What Eq. 7 makes of an entry's curves: a view for each metric's panel, t*, and who decided it.
export function read(entry, reading, settings, data) {
  const source = entry[reading];
  const views = data.metrics.map((metric, index) => {
    const plain = source[metric.name], weight = settings.weights[metric.name];
    const curve = withNoise(plain, data.steps, settings.noise, settings.seed * data.metrics.length + index);
    const plateau = plateauStep(curve, weight, metric.lower);
    const level = threshold(curve, weight, metric.lower);
    return { metric, plain, curve, weight, plateau, level, rings: entry.rings?.[metric.name] ?? [] };
  });
  const tStar = Math.max(...views.map((view) => view.plateau));
  const last = Math.max(data.steps.at(-1), ...views.map((view) => view.curve.length));
  const decided = views.filter((view) => view.plateau === tStar).map((view) => view.metric.label);
  return { views: views.map((view) => ({ ...view, tStar, last })), tStar, decided };
}

// Rows of a table: steps, seconds and TFLOPs at t*, the REFERENCE's, and the share saved, each in words.
export function costs(tStar, data) {
  const at = (name, steps) => data.cost[name]?.[steps - 1];
  const both = (name) => [at(name, tStar), at(name, data.reference)];
  const rows = [["steps", tStar, data.reference], ["seconds", ...both("seconds")], ["TFLOPs", ...both("tflops")]];
  const said = (value) => (value === undefined ? "not measured" : digits(value));
  return rows.map(([name, ours, theirs]) => {
    const saved = 100 * (1 - ours / theirs);
    const share = `${Math.abs(saved).toFixed(0)}% ${saved < 0 ? "more" : "saved"}`;
    return [name, said(ours), said(theirs), Number.isFinite(saved) ? share : ""];
  });
}
