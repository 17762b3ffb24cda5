"use strict";
/* Sends stored answers, in order, until each was acknowledged. The server stores an answer once however often it comes. */

const BATCH = 20, FIRST_WAIT = 1000, LONGEST_WAIT = 30000, PATIENCE = 15000; // answers; milliseconds

class Outbox {
  constructor(session, url, onChange) {
    Object.assign(this, { session, url, onChange, wait: FIRST_WAIT, busy: false, refused: null, failed: false, timer: null });
    addEventListener("online", () => this.hurry());
  }

  get left() { return this.url ? this.session.position - this.session.state.sent : 0; }

  hurry() {
    clearTimeout(this.timer);
    this.wait = FIRST_WAIT;
    this.send();
  }

  async send() {
    if (!this.url || this.busy || this.refused || this.left === 0 || !this.session.isHere) return;
    clearTimeout(this.timer);
    this.busy = true;
    const from = this.session.state.sent;
    const rows = this.session.state.rows.slice(from, from + BATCH);
    try {
      await this.post(rows);
      this.session.markSent(from + rows.length);
      this.failed = false;
      this.wait = FIRST_WAIT;
    } catch (error) {
      this.failed = true;
      if (error instanceof Refusal) this.refused = error.message;
      else {
        this.timer = setTimeout(() => this.send(), this.wait);
        this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
      }
    }
    this.busy = false;
    this.onChange(this);
    if (!this.failed) this.send();
  }

  async post(rows) {
    if (this.url instanceof Function) return this.url(rows); // the notebook's widget takes them itself
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), PATIENCE);
    try {
      const reply = await fetch(this.url, { method: "POST", headers: { "Content-Type": "application/json" },
                                            body: JSON.stringify({ rows }), signal: abort.signal });
      if (reply.ok) return;
      const isFinal = reply.status >= 400 && reply.status < 500 && ![408, 425, 429].includes(reply.status);
      if (isFinal) throw new Refusal((await reply.json().catch(() => ({}))).error ?? `status ${reply.status}`);
      throw new Error(`status ${reply.status}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

class Refusal extends Error {}
