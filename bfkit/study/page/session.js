"use strict";
/* Who takes part, what was answered so far, and where it is kept: in the browser's storage, after every answer. */

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

function hexId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* FNV-1a: the same participant gets the same order, on any device. */
function orderOf(participant, orders) {
  let hash = 0x811c9dc5;
  for (const letter of participant) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  return hash % orders;
}

/* localStorage, where there is one: a private window may have none, and then a reload begins anew. A widget in a
   notebook begins anew with its cell. */
const storage = {
  memory: new Map(),
  get disk() { try { return STUDY.widget ? null : localStorage; } catch { return null; } },
  get(key) { return this.disk?.getItem(key) ?? this.memory.get(key) ?? null; },
  set(key, value) {
    this.memory.set(key, value);
    try { this.disk?.setItem(key, value); } catch { /* it is full: the copy in memory and the saved file remain */ }
  },
};

/* A participant as the URL names them (participant=..., or Prolific's own three names), or a random one. */
function readIdentity(search) {
  const query = new URLSearchParams(search);
  const given = { participant: query.get("participant") ?? query.get("PROLIFIC_PID"),
                  prolific_study: query.get("STUDY_ID"), prolific_session: query.get("SESSION_ID") };
  for (const value of Object.values(given)) {
    if (value !== null && !NAME.test(value)) {
      throw new Error("The address of this page names a participant or session that is not made of 1 to 64 letters, " +
                      "digits, - and _. Please open the link exactly as you were given it.");
    }
  }
  return given;
}

class Session {
  constructor(study, search) {
    this.study = study;
    const given = readIdentity(search);
    this.isNamed = given.participant !== null;
    this.meKey = `bfkit-${study.study}-me`;
    const participant = given.participant ?? storage.get(this.meKey) ?? `p-${hexId().slice(0, 12)}`;
    if (!this.isNamed) storage.set(this.meKey, participant);
    this.key = `bfkit-${study.study}-${participant}`;
    const saved = storage.get(this.key);
    this.state = saved ? JSON.parse(saved) : {
      ...given, participant, session: hexId(), order: study.widget?.order ?? orderOf(participant, study.orders.length), rows: [], sent: 0,
      saved: false,
    };
    this.tab = hexId();
    storage.set(`${this.key}-tab`, this.tab); // the tab opened last goes on; the others stop
    this.store();
  }

  get trials() { return this.study.orders[this.state.order]; }
  get position() { return this.state.rows.length; }
  get isDone() { return this.position >= this.trials.length; }
  get isHere() { return storage.get(`${this.key}-tab`) === this.tab; }

  store() { storage.set(this.key, JSON.stringify(this.state)); }

  /* What is on the screen at a position: conditions by side, and the pictures of each. */
  shown(position) {
    const [kind, index, swapped] = this.trials[position];
    const name = this.study.kinds[kind];
    const stimulus = this.study.stimuli[index];
    const similar = this.study.design.protocol === "similar";
    const isTest = name === "main" || name === "repeat";
    const pair = !isTest ? ["REFERENCE", "DECOY"] : similar ? ["OURS", "UNIFORM"] : ["OURS", "REFERENCE"];
    const [left, right] = swapped ? [pair[1], pair[0]] : pair;
    return { kind: name, stimulus, left, right, middle: similar ? "REFERENCE" : null };
  }

  /* Keep an answer: false if another tab has taken over, and then nothing is written. */
  add(position, answer) {
    if (!this.isHere || position !== this.position) return false;
    const { kind, stimulus, middle } = this.shown(position);
    const steps = (condition) => stimulus.pictures[condition].steps;
    this.state.rows.push({
      study: this.study.study, protocol: this.study.design.protocol, participant: this.state.participant,
      session: this.state.session, order: this.state.order, position, kind, prompt: stimulus.prompt, seed: stimulus.seed,
      left_condition: answer.left, left_steps: steps(answer.left),
      right_condition: answer.right, right_steps: steps(answer.right),
      reference_steps: middle ? steps(middle) : null,
      choice: answer.choice, chosen: answer.choice === "A" ? answer.left : answer.right,
      rt_ms: answer.rt_ms, input: answer.input, hidden: answer.hidden, picture_px: answer.picture_px,
      shown_at: answer.shown_at, prolific_study: this.state.prolific_study,
      prolific_session: this.state.prolific_session, simulated: false,
    });
    this.store();
    return true;
  }

  markSent(count) { this.state.sent = Math.max(this.state.sent, count); this.store(); }
  markSaved() { this.state.saved = true; this.store(); }

  /* On a shared device the next person begins anew; the answers of the one before stay stored under their name. */
  forget() { storage.set(this.meKey, `p-${hexId().slice(0, 12)}`); }
}

function toCsv(rows) {
  const cell = (value) => value === null ? "" : /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const names = Object.keys(rows[0]);
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function saveFile(session, kind) {
  const { rows, participant } = session.state;
  const text = kind === "csv" ? toCsv(rows) : JSON.stringify(rows, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
  link.download = `study-${session.study.study}-${participant}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  session.markSaved();
}
