// What the explorer is built of: elements of HTML and SVG, sliders and buttons.

export const digits = (value) => Number(value.toPrecision(3)).toString();

export function html(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function button(words, onClick) {
  const made = html("button", { type: "button" }, words);
  made.addEventListener("click", onClick);
  return made;
}

// A slider with its name and its value in sight.
export function slider(name, words, max, step, value, onMove) {
  const shown = html("output", {}, digits(value));
  const input = html("input", { type: "range", name, min: 0, max, step, value });
  const set = (value) => {
    input.value = value;
    shown.textContent = digits(value); // its own, where the slider has only the nearest step
  };
  input.addEventListener("input", () => {
    set(input.valueAsNumber);
    onMove(input.valueAsNumber);
  });
  return { element: html("label", { className: "slider" }, html("span", {}, words), input, shown), set };
}

// A small sign for names and legends.
export function swatch(shape) {
  return svg("svg", { class: "swatch", viewBox: "0 0 30 10", width: 30, height: 10, "aria-hidden": "true" }, shape);
}

// A short piece of a metric's line.
export const curveSign = ({ dash }) =>
  svg("line", { class: "curve", x1: 0, y1: 5, x2: 30, y2: 5, "stroke-dasharray": dash.join(" ") });

// An element in a color of its own, on light ground and on dark.
export function colored(element, [light, dark]) {
  element.style.setProperty("--own", `light-dark(${light}, ${dark})`);
  return element;
}
