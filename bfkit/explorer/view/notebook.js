// In JupyterLab: questions go to the kernel and come back as answers, one each.
import { mount } from "./explorer.js";

function kernel(model) {
  const waiting = new Map();
  const hear = (message) => {
    const { resolve, reject } = waiting.get(message.id) ?? {}; // another view's answer has no taker here
    waiting.delete(message.id);
    if (message.sorry) reject?.(new Error(message.sorry));
    else resolve?.(message);
  };
  model.on("msg:custom", hear);
  const ask = (request) =>
    new Promise((resolve, reject) => {
      const id = `${Math.random()}`;
      waiting.set(id, { resolve, reject });
      model.send({ id, ...request });
    });
  return { ask, close: () => model.off("msg:custom", hear) };
}

export default {
  render({ model, el }) {
    const { ask, close } = kernel(model);
    mount(el, model.get("data"), ask);
    return close;
  },
};
