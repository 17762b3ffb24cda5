"use strict";
/* The course of a study: consent, instructions, practice, trials in blocks, the end. */

const BLOCK = 10; // trials whose pictures are loaded together
const RETRY = 2000; // milliseconds between two attempts to load them
const QUESTIONS = {
  similar: "Which picture is more similar to the reference: A or B?",
  reference: "Which picture is the reference, of higher quality: A or B?",
};
const LOST = "The study goes on in another tab or window of this browser. You can close this one.";

const element = (id) => document.getElementById(id);
const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
const paragraphs = (texts) => texts.map((text) => `<p>${escaped(text)}</p>`).join("");
const source = (file) => STUDY.widget?.pictures[file] ?? file;

function say(text) { element("status").textContent = text; }

function showProgress(session) {
  const percent = Math.round(100 * session.position / session.trials.length);
  element("progress").setAttribute("aria-valuenow", percent);
  element("progress-bar").style.width = `${percent}%`;
}

/* A page of text and one button, which has the focus: Enter presses it. */
function textPage(title, texts, button, onPress = () => {}) {
  return {
    type: jsPsychHtmlButtonResponse,
    stimulus: `<div class="text"><h1 tabindex="-1">${escaped(title)}</h1>${paragraphs(texts)}</div>`,
    choices: [button],
    button_html: (label) => `<button type="button" class="go">${escaped(label)}</button>`,
    on_load: () => document.querySelector("button.go").focus({ preventScroll: true }),
    on_finish: onPress,
  };
}

function goFullscreen() {
  if (STUDY.page.fullscreen && !STUDY.widget) document.documentElement.requestFullscreen?.().catch(() => {});
}

function introduction(session) {
  const { title, consent, instructions } = STUDY.page;
  const count = session.trials.length;
  if (session.position > 0) {
    const left = `${session.position} of ${count} comparisons are done and kept.`;
    return [textPage("Welcome back", [left, ...instructions], "Go on", goFullscreen)];
  }
  const course = `There are ${count} comparisons, ${STUDY.design.practice} of them for practice. If the page is closed ` +
    "or reloaded, the same link on the same device goes on where you were.";
  return [
    textPage(title, consent, "I agree to take part"),
    textPage("What to do", [...instructions, course], "Start", goFullscreen),
  ];
}

function pictureFiles(session, positions) {
  return positions.flatMap((position) => {
    const { stimulus, left, right, middle } = session.shown(position);
    return [left, right, middle].filter(Boolean).map((condition) => source(stimulus.pictures[condition].file));
  });
}

/* Pictures of a block, asked for again until all are there. */
function preload(files) {
  let isLoaded = false;
  return {
    timeline: [
      { type: jsPsychPreload, images: files, message: "<p>Loading pictures…</p>", continue_after_error: true,
        on_finish: ({ success }) => { isLoaded = success; } },
      { timeline: [{ type: jsPsychHtmlButtonResponse, choices: [], trial_duration: RETRY,
                     stimulus: "<p role='status'>Waiting for the network. Your answers are kept.</p>" }],
        conditional_function: () => !isLoaded },
    ],
    loop_function: () => !isLoaded,
  };
}

function trialNodes(jsPsych, session, outbox, position) {
  const { kind, stimulus, left, right, middle } = session.shown(position);
  const picture = (condition) => condition && { condition, source: source(stimulus.pictures[condition].file) };
  const label = `Comparison ${position + 1} of ${session.trials.length}`;
  let chosen = null;
  const nodes = [{
    type: PictureChoice, left: picture(left), right: picture(right), middle: picture(middle),
    question: QUESTIONS[STUDY.design.protocol], label,
    on_start: () => { if (!outbox.failed) say(kind === "practice" ? `${label} (practice)` : label); },
    on_finish: ({ answer }) => {
      if (!session.add(position, answer)) return jsPsych.abortExperiment(`<p role="alert">${LOST}</p>`);
      chosen = answer.choice === "A" ? answer.left : answer.right;
      showProgress(session);
      outbox.send();
    },
  }];
  if (kind === "practice") {
    const feedback = {
      ...textPage("", [], "Continue"),
      stimulus: () => `<div class="text"><h1>${chosen === "REFERENCE" ? "Right" : "Not this time"}</h1>` +
        paragraphs([chosen === "REFERENCE" ? "The other picture was spoiled on purpose." :
          "The picture you chose was spoiled on purpose; the other one was right."]) + "</div>",
    };
    nodes.push(feedback);
  }
  return nodes;
}

function timeline(jsPsych, session, outbox) {
  const nodes = introduction(session);
  const positions = session.trials.map((_, position) => position).slice(session.position);
  for (let start = 0; start < positions.length; start += BLOCK) {
    const block = positions.slice(start, start + BLOCK);
    const next = pictureFiles(session, positions.slice(start + BLOCK, start + 2 * BLOCK));
    const ahead = () => jsPsych.pluginAPI.preloadImages(next); // while the block is answered
    nodes.push({ ...preload(pictureFiles(session, block)), on_timeline_finish: ahead });
    nodes.push(...block.flatMap((position) => trialNodes(jsPsych, session, outbox, position)));
  }
  return nodes;
}

/* The end: the code is shown once the answers are where they belong, on the server or in a saved file. */
function finish(session, outbox) {
  const news = [outbox.left, outbox.refused, session.state.saved].join();
  if (finish.news === news) return; // nothing to tell, and the focus stays where it is
  finish.news = news;
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  const { code, redirect } = STUDY.page;
  const isSafe = (outbox.url && outbox.left === 0) || session.state.saved || STUDY.widget;
  const texts = [];
  if (outbox.url && outbox.left === 0) texts.push("All your answers were received.");
  else if (outbox.refused) texts.push(`The server did not take ${outbox.left} answers: ${outbox.refused}. Please save them and tell the person who runs the study.`);
  else if (outbox.url) texts.push(`${outbox.left} answers are still to be sent; they are kept on this device and sent as soon as the network is back. Please keep this page open, or save them as a file.`);
  else texts.push("Please save your answers as a file, and give it to the person who runs the study.");
  const main = element("study");
  main.innerHTML = `<div class="text"><h1 tabindex="-1">Thank you</h1>${paragraphs(texts)}<p class="actions"></p></div>`;
  const actions = main.querySelector(".actions");
  const add = (text, action) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", action);
    actions.append(button);
  };
  const save = (kind) => () => { saveFile(session, kind); finish(session, outbox); };
  if (outbox.left > 0 && !outbox.refused) add("Send now", () => outbox.hurry());
  if (!STUDY.widget) {
    add("Save my answers (CSV)", save("csv"));
    add("Save my answers (JSON)", save("json"));
  }
  if (isSafe && code) actions.insertAdjacentHTML("beforebegin", `<p>Your completion code: <strong id="code">${escaped(code)}</strong></p>`);
  if (isSafe && redirect) add("Finish", () => location.assign(redirect));
  if (isSafe && !session.isNamed && !STUDY.widget) add("Next participant on this device", () => { session.forget(); location.reload(); });
  main.querySelector("h1").focus();
  say("");
}

function refuse(message) {
  element("study").innerHTML = `<div class="text" role="alert"><h1>This link does not work</h1><p>${escaped(message)}</p></div>`;
}

async function start() {
  document.title = STUDY.page.title;
  let session;
  try {
    session = new Session(STUDY, STUDY.widget ? `?participant=${STUDY.widget.participant}` : location.search);
  } catch (error) {
    return refuse(error.message);
  }
  const outbox = new Outbox(session, STUDY.widget?.post ?? STUDY.page.post, () => {
    if (session.isDone) finish(session, outbox);
    else if (outbox.failed) say("Your answers cannot be sent just now. They are kept on this device; please go on.");
  });
  const jsPsych = initJsPsych({ display_element: "study" });
  addEventListener("storage", (event) => {
    if (event.key === `${session.key}-tab` && !session.isHere && !session.isDone) {
      jsPsych.abortExperiment(`<p role="alert">${LOST}</p>`);
    }
  });
  showProgress(session);
  outbox.send();
  if (!session.isDone) await jsPsych.run(timeline(jsPsych, session, outbox));
  if (session.isDone) {
    finish(session, outbox);
    outbox.send();
  }
}

start();
