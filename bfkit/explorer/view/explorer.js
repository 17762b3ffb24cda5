// The explorer of BudgetFusion's plateaus: one page for JupyterLab, where a kernel answers, and for a file without one.
import { askedPanel, panel } from "./chart.js";
import { button, colored, curveSign, html, slider, svg, swatch } from "./elements.js";
import { costs, read } from "./reading.js";

const TYPING_PAUSE = 400; // milliseconds
const SHORTENED = 90; // letters of a prompt in the menu

const short = (prompt) => (prompt.length > SHORTENED ? prompt.slice(0, SHORTENED - 1) + "…" : prompt);
const apart = (one, other) => Math.abs(Math.log(one / other)); // as on the axes that are shown
const nearest = (steps, goal) => steps.reduce((best, step) => (apart(step, goal) < apart(best, goal) ? step : best));

// Build the explorer in `root`. `data` is what bfkit.explorer.data gathers; `ask`, in a notebook, sends a request to
// the kernel and promises its answer.
export function mount(root, data, ask = null) {
  const own = () => Object.fromEntries(data.metrics.map((metric) => [metric.name, metric.weight]));
  const settings = { weights: own(), noise: 0, seed: 1 };
  let entry = data.prompts[0], wanted = "predicted", tStar = 1, typing;

  const parts = {};
  for (const name of ["prompt", "remarks", "star", "decided", "big", "panels", "legend", "strip", "sorry"])
    parts[name] = html(["prompt", "remarks", "decided", "sorry"].includes(name) ? "p" : "div", { className: name });
  parts.star.setAttribute("aria-live", "polite");
  parts.cost = html("tbody");

  // --- what can be moved -------------------------------------------------------------------------------------------

  const menu = html("select", { name: "prompt" });
  data.prompts.forEach((one, index) => menu.append(html("option", { value: index }, short(one.prompt))));
  menu.addEventListener("change", () => {
    typed.value = "";
    choose(data.prompts[menu.value]);
  });
  const typed = html("input", { type: "text", name: "typed", placeholder: "words of your own" });
  typed.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => predict(typed.value.trim()), TYPING_PAUSE);
  });
  const chooser = html("div", { className: "chooser" }, html("label", {}, html("span", {}, "Prompt"), menu));
  if (data.typed && ask) chooser.append(html("label", {}, html("span", {}, "or type one"), typed));

  const weights = data.metrics.map((metric) =>
    slider(metric.name, `weight of ${metric.label}`, Math.max(2, metric.weight), 0.05, metric.weight, (value) => {
      settings.weights[metric.name] = value;
      update();
    }));
  const noise = slider("noise", "noise on the curves, in their standard deviations", 0.5, 0.01, 0, (value) => {
    settings.noise = value;
    update();
  });
  const another = button("other noise", () => {
    settings.seed += 1;
    update();
  });
  const back = button("back to the start", () => {
    Object.assign(settings, { weights: own(), noise: 0, seed: 1 });
    data.metrics.forEach((metric, index) => weights[index].set(metric.weight));
    noise.set(0);
    update();
  });
  const group = `reading-${Math.random()}`; // of its own in every copy of the explorer
  const radios = {};
  const readings = html("fieldset", {}, html("legend", {}, "Eq. 7 reads the curve"));
  for (const name of ["predicted", "measured"]) {
    radios[name] = html("input", { type: "radio", name: group, value: name });
    radios[name].addEventListener("change", () => {
      wanted = name;
      update();
    });
    readings.append(html("label", {}, radios[name], name));
  }
  const draw = button("", () => picture(entry, tStar));

  // --- what is shown -----------------------------------------------------------------------------------------------

  const panels = data.metrics.map((metric, index) => {
    const number = html("b"), drawing = html("div");
    const heading = html("h2", {}, swatch(curveSign(metric)), ` ${metric.label} `,
      html("small", {}, `${metric.lower ? "lower" : "higher"} is better; flat after step `, number));
    parts.panels.append(colored(html("article", {}, heading, drawing, weights[index].element), metric.color));
    return { number, drawing };
  });
  const asked = data.asked && { drawing: html("div"), words: html("b") };
  if (asked) {
    const heading = html("h2", {}, swatch(curveSign(data.asked)), ` ${data.asked.label} `,
      html("small", {}, html("b", {}, "not part of t*")));
    const said = html("div", {}, html("p", {}, asked.words), html("p", {}, `${data.asked.words} The three metrics above `,
      "ask whether a picture is like its own end; this one, whether it shows what was asked. Eq. 7 does not read it."));
    asked.article = html("article", { className: "asked" }, heading, asked.drawing, said);
    parts.panels.append(colored(asked.article, data.asked.color));
  }

  function update() {
    const reading = entry[wanted] ? wanted : entry.predicted ? "predicted" : "measured";
    for (const [name, radio] of Object.entries(radios)) {
      radio.checked = name === reading;
      radio.disabled = !entry[name];
    }
    const found = read(entry, reading, settings, data);
    tStar = found.tStar;
    parts.star.replaceChildren(html("span", {}, "t* = "), html("b", {}, `${tStar}`), " steps");
    const other = reading === "predicted" ? "measured" : "predicted";
    const theirs = entry[other] ? ` By the ${other} curves, t* is ${read(entry, other, settings, data).tStar}.` : "";
    const names = new Intl.ListFormat("en").format(found.decided);
    const last = `${names} ${found.decided.length > 1 ? "are" : "is"} the last to go flat.`;
    parts.decided.textContent = (tStar > 1 ? last : "No curve stands out after the first step.") + theirs;
    parts.cost.replaceChildren(...costs(tStar, data).map(([name, ...cells]) =>
      html("tr", {}, html("th", { scope: "row" }, name), ...cells.map((cell) => html("td", {}, cell)))));
    found.views.forEach((view, index) => {
      panels[index].number.textContent = view.plateau;
      panels[index].drawing.replaceChildren(panel(view.metric, view));
    });
    showAsked(found.views[0].last);
    mark();
  }

  // The fourth curve, of prompts that the table knows it of.
  function showAsked(last) {
    if (!asked) return;
    asked.article.hidden = !entry.asked?.length;
    if (asked.article.hidden) return;
    const { drawing, words } = askedPanel(data.asked, entry.asked, tStar, last);
    asked.drawing.replaceChildren(drawing);
    asked.words.textContent = `${words}.`;
  }

  // A picture, or an empty place where there is none yet, above its caption.
  function framed(steps, caption) {
    const source = entry.pictures[steps];
    const image = source ? html("img", { src: source, alt: `${short(entry.prompt)}, ${steps} steps` }) : html("i");
    const figure = html("figure", {}, image, html("figcaption", {}, caption));
    figure.dataset.steps = steps;
    return figure;
  }

  // The picture nearest to t* is framed, and shown large beside the REFERENCE's.
  function mark() {
    const cells = [...parts.strip.children];
    if (!cells.length) return;
    const known = cells.map((cell) => Number(cell.dataset.steps));
    const near = nearest(known, tStar), reference = nearest(known, data.reference);
    for (const cell of cells)
      cell.dataset.mark = Number(cell.dataset.steps) !== near ? "" : near === tStar ? "=" : "≈";
    const ours = near === tStar ? "t*" : "nearest to t*";
    const theirs = reference === data.reference ? "REFERENCE" : "nearest to REFERENCE";
    parts.big.replaceChildren(
      framed(near, `${ours}: ${near} steps`),
      framed(reference, `${theirs}: ${reference} steps`),
    );
    draw.hidden = !ask || !data.pictures || known.includes(tStar);
    draw.textContent = `draw it in ${tStar} steps`;
  }

  function showPictures() {
    const known = [...new Set([...data.steps, ...Object.keys(entry.pictures).map(Number)])].sort((a, b) => a - b);
    parts.sorry.textContent = entry.sorry ?? "";
    const shown = data.pictures ? known.filter((steps) => entry.pictures[steps] || !entry.sorry) : [];
    parts.strip.replaceChildren(...shown.map((steps) => framed(steps, `${steps}`)));
    if (!shown.length) parts.big.replaceChildren();
    mark();
  }

  function choose(chosen) {
    entry = chosen;
    parts.prompt.textContent = `“${entry.prompt}”`;
    parts.remarks.textContent = entry.remarks.join(" ");
    for (const long of [parts.prompt, parts.remarks]) {
      if (long.scrollHeight > long.clientHeight) long.tabIndex = 0; // what scrolls must be reached by keys
      else long.removeAttribute("tabindex");
    }
    const empty = !entry.predicted && !entry.measured;
    body.hidden = empty;
    if (empty) return;
    update();
    showPictures();
    if (ask && data.pictures) drawAll(entry);
  }

  // --- what the kernel is asked ------------------------------------------------------------------------------------

  async function picture(one, steps) {
    try {
      one.pictures[steps] ??= (await ask({ kind: "picture", prompt: one.prompt, steps })).picture;
    } catch (error) {
      one.sorry = error.message;
    }
    if (one === entry) showPictures();
  }

  async function drawAll(one) {
    for (const steps of data.steps) {
      if (one !== entry || one.sorry) return; // the reader has moved on, or it cannot be drawn
      if (!one.pictures[steps]) await picture(one, steps);
    }
  }

  async function predict(prompt) {
    const listed = prompt ? data.prompts.find((one) => one.prompt === prompt) : data.prompts[menu.value];
    const answer = listed ?? (await ask({ kind: "curves", prompt }).catch((error) => ({ remarks: [error.message] })));
    if (typed.value.trim() === prompt) choose(listed ?? { prompt, pictures: {}, ...answer });
  }

  // --- the page ----------------------------------------------------------------------------------------------------

  const key = (words, shape, places) =>
    html("span", {}, swatch(svg(shape, places)), ` ${words}`);
  const along = { x1: 0, y1: 5, x2: 30, y2: 5 }, middle = { cx: 15, cy: 5 };
  parts.legend.append(
    key("measured", "circle", { class: "ring", r: 3.2, ...middle }),
    key("the curve that Eq. 7 reads", "line", { class: "curve", ...along }),
    key("the last step at which it stands out", "circle", { class: "dot", r: 5, ...middle }),
    key("how far it must stand out", "line", { class: "threshold", ...along }),
    key("t*, the last of the three", "line", { class: "tstar", x1: 15, y1: 0, x2: 15, y2: 10 }),
  );
  const head = html("tr", {}, ...["", "at t*", "REFERENCE", ""].map((words) => html("th", { scope: "col" }, words)));
  const table = html("table", {}, html("thead", {}, head), parts.cost);
  const answer = html("section", { className: "answer" }, html("div", {}, parts.star, parts.decided, table));
  if (data.pictures) answer.append(html("div", {}, parts.big, draw));
  const body = html("div", {}, answer, parts.panels, parts.legend,
    html("section", { className: "controls" }, noise.element, another, readings, back));
  if (data.pictures) body.append(html("h2", {}, "The picture by its number of steps"), parts.strip, parts.sorry);
  const notes = data.notes.map((words) => html("p", { className: "notice" }, words));
  const page = html("div", { className: "bf-explorer" }, ...notes, chooser, parts.prompt, parts.remarks, body);
  for (const control of page.querySelectorAll("input, select, button"))
    control.dataset.lmSuppressShortcuts = ""; // or JupyterLab would take the arrow keys from the sliders
  root.replaceChildren(page);
  choose(entry);
}
