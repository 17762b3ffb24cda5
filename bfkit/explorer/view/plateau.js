// Eq. 7 as bfkit.plateau computes it, to the last bit: a curve that lies on its threshold in Python lies on it here.

// numpy's order of summation: eight sums side by side, and halves of more than 128 values. Another order rounds
// differently, and a tie with the threshold would be decided differently.
export function sum(values) {
  const count = values.length;
  if (count > 128) {
    const half = Math.floor(count / 2) - (Math.floor(count / 2) % 8);
    return sum(values.slice(0, half)) + sum(values.slice(half));
  }
  if (count < 8) return values.reduce((total, value) => total + value, 0);
  const r = values.slice(0, 8);
  const even = count - (count % 8);
  for (let i = 8; i < even; i += 8) for (let j = 0; j < 8; j++) r[j] += values[i + j];
  const total = r[0] + r[1] + (r[2] + r[3]) + (r[4] + r[5] + (r[6] + r[7]));
  return values.slice(even).reduce((sofar, value) => sofar + value, total);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The population standard deviation (ddof 0).
export function spread(values) {
  const mean = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - mean) * (value - mean))) / values.length);
}

// The value a curve has to reach to stand out: median + weight * std, on the other side where higher is better.
export function threshold(values, weight, lowerIsBetter) {
  const sign = lowerIsBetter ? 1 : -1;
  return sign * (median(values.map((value) => sign * value)) + weight * spread(values));
}

// The last step, counted from 1, at which a curve still stands out; 1 where it is flat or nothing does.
export function plateauStep(values, weight, lowerIsBetter = true) {
  const falling = lowerIsBetter ? values : values.map((value) => -value);
  if (spread(falling) <= 1e-12 * Math.max(1, ...falling.map(Math.abs))) return 1;
  const level = threshold(falling, weight, true);
  return falling.findLastIndex((value) => value >= level) + 1 || 1;
}

// Normal numbers from a seed: Box and Muller's method on the mulberry32 generator.
function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// The value at a step on straight lines between values at known steps; outside of them, that of the nearest.
export function along(steps, values, step) {
  const right = steps.findIndex((known) => known >= step);
  if (right <= 0) return values.at(right); // before the first, or behind the last
  const way = (step - steps[right - 1]) / (steps[right] - steps[right - 1]);
  return values[right - 1] + way * (values[right] - values[right - 1]);
}

// A curve with noise of `share` of its own standard deviation at the sampled steps, straight lines between them, as
// scores that rest on few seeds would have it.
export function withNoise(values, steps, share, seed) {
  if (!share) return values;
  const normal = normals(seed);
  const scale = share * spread(values);
  const knots = steps.map(() => scale * normal());
  return values.map((value, index) => value + along(steps, knots, index + 1));
}
