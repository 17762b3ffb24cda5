"use strict";
/* A jsPsych plugin: a blank, then two pictures, with the reference between them if there is one, and one choice. */

const BLANK = 500; // milliseconds
const KEY_CHOICES = { a: "A", arrowleft: "A", b: "B", arrowright: "B" };

const PictureChoice = (function (jspsych) {
  const info = {
    name: "picture-choice",
    version: "1.0.0",
    parameters: {
      left: { type: jspsych.ParameterType.OBJECT },
      right: { type: jspsych.ParameterType.OBJECT },
      middle: { type: jspsych.ParameterType.OBJECT, default: null },
      question: { type: jspsych.ParameterType.STRING },
      label: { type: jspsych.ParameterType.STRING },
      blank: { type: jspsych.ParameterType.INT, default: BLANK },
    },
    data: {},
  };

  function figure(picture, place, name, buttonText) {
    const box = document.createElement("figure");
    box.className = place;
    const image = new Image();
    image.src = picture.source;
    image.alt = name;
    image.draggable = false;
    image.dataset.condition = picture.condition;
    box.append(image);
    if (buttonText) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = buttonText;
      button.setAttribute("aria-label", `Choose ${name}`);
      box.append(button);
    } else {
      const caption = document.createElement("figcaption");
      caption.textContent = name;
      box.append(caption);
    }
    return box;
  }

  class Plugin {
    static info = info;
    constructor(jsPsych) { this.jsPsych = jsPsych; }

    trial(display, trial) {
      this.show(display, trial); // not returned: jsPsych takes the end of a promise for the end of the trial
    }

    async show(display, trial) {
      display.setAttribute("aria-busy", "true");
      const left = figure(trial.left, "left", "picture A, on the left", "A");
      const right = figure(trial.right, "right", "picture B, on the right", "B");
      const grid = document.createElement("div");
      grid.className = trial.middle ? "pictures three" : "pictures two";
      grid.dir = "ltr"; // left is left in every language
      grid.tabIndex = -1;
      grid.setAttribute("role", "group");
      grid.setAttribute("aria-label", `${trial.label}. ${trial.question}`);
      grid.append(left);
      if (trial.middle) grid.append(figure(trial.middle, "middle", "Reference"));
      grid.append(right);
      const question = document.createElement("p");
      question.className = "question";
      question.textContent = trial.question;
      const images = [...grid.querySelectorAll("img")];
      await Promise.all([
        new Promise((resolve) => setTimeout(resolve, trial.blank)),
        ...images.map((image) => image.decode().catch(() => {})),
      ]);
      if (images.some((image) => !image.naturalWidth)) { // it was preloaded, but the browser has dropped it since
        const note = document.createElement("p");
        note.setAttribute("role", "alert");
        note.textContent = "A picture did not arrive. Please reload the page to go on: your answers are kept.";
        display.replaceChildren(note);
        return;
      }
      grid.style.setProperty("--ratio", images[0].naturalHeight / images[0].naturalWidth);
      display.replaceChildren(question, grid);
      grid.focus({ preventScroll: true });
      await new Promise((resolve) => { // painted, or out of sight, where no frame is painted
        requestAnimationFrame(() => requestAnimationFrame(resolve));
        setTimeout(resolve, 200);
      });
      this.listen(display, { left, right });
    }

    listen(display, { left, right }) {
      const started = performance.now(), shownAt = Date.now(), page = new AbortController();
      const { signal } = page;
      let hidden = document.hidden;
      document.addEventListener("visibilitychange", () => { hidden = true; }, { signal });

      const choose = (choice, input) => {
        if (signal.aborted) return;
        page.abort();
        const rt = performance.now() - started;
        // Sides are read off the screen, not off the plan: what was seen is what is recorded.
        const [first, second] = [left, right].map((box) => box.querySelector("img"));
        const inPlace = first.getBoundingClientRect().left < second.getBoundingClientRect().left;
        const [a, b] = inPlace ? [first, second] : [second, first];
        for (const button of display.querySelectorAll("button")) button.disabled = true;
        const answer = { left: a.dataset.condition, right: b.dataset.condition, choice, input, hidden,
                         rt_ms: Math.round(rt * 10) / 10, shown_at: shownAt,
                         picture_px: Math.round(a.getBoundingClientRect().width * 10) / 10 };
        display.replaceChildren();
        this.jsPsych.finishTrial({ answer });
      };

      left.querySelector("button").addEventListener("click", () => choose("A", "button"), { signal });
      right.querySelector("button").addEventListener("click", () => choose("B", "button"), { signal });
      document.addEventListener("keydown", (event) => {
        const choice = KEY_CHOICES[event.key.toLowerCase()];
        if (!choice || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault(); // arrows do not scroll
        choose(choice, "key");
      }, { signal });
      display.setAttribute("aria-busy", "false");
    }
  }
  return Plugin;
})(jsPsychModule);
