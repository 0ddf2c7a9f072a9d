/** The page of the tab SALIENCY. TensorBoard calls `render`, and so does a standalone file. */

import { Context, DEFAULTS } from "./context.js";
import { dropDown } from "./controls.js";
import { el, replace } from "./dom.js";
import { openSource } from "./source.js";
import { addressMemory, createState, storageMemory } from "./state.js";
import { watchTheme } from "./theme.js";
import { createToolbar } from "./toolbar.js";
import { VIEWS } from "./views.js";

const STYLES = ["style.css", "views.css"];
const POLL = 5000; // milliseconds
const CODE = `import keras_saliency as ks

probes = ks.ProbeSet.from_dataset(train_ds, per_class=4, seed=0)
saliency = ks.SaliencyCallback(probes, log_dir="logs")
model.fit(train_ds, epochs=20, callbacks=[saliency])`;

/** Builds the page in this document and keeps it up to date. */
export async function render() {
  const source = openSource();
  if (source.live) await addStyle();
  const state = createState(DEFAULTS, source.live ? storageMemory() : addressMemory());
  await new Page(new Context(source, state)).start();
}

/** TensorBoard's page has no style of ours; a standalone file carries its own. */
function addStyle() {
  return Promise.all(STYLES.map(addSheet));
}

function addSheet(name) {
  return new Promise((done) => {
    const href = new URL(`./${name}`, import.meta.url);
    document.head.append(el("link", { rel: "stylesheet", href, onload: done, onerror: done }));
  });
}

class Page {
  #context;
  #toolbar;
  #views = new Map(); // name -> {view, stale}: the keys that changed since its last update
  #shown = null;
  #problems = el("details", { class: "problems", "data-testid": "problems", hidden: true });
  #notice = el("div", { class: "notice", role: "status", "data-testid": "notice" });
  #otherRun = dropDown("Run", "notice-run", (run) => this.#context.state.set({ run, region: null }));
  #main = el("main", { class: "view", role: "tabpanel" });
  #root = el("div", { class: "keras-saliency", "data-testid": "page" });
  #timer = 0;
  #polling = false;
  #loaded = false;
  #seen = false; // whether the page was in sight when it was looked at last

  constructor(context) {
    this.#context = context;
    this.#toolbar = createToolbar(context);
    this.#toolbar.element.hidden = this.#main.hidden = true; // until there is something to show
    this.#root.append(this.#toolbar.element, this.#problems, this.#notice, this.#main);
  }

  async start() {
    document.body.append(this.#root);
    document.title ||= "Saliency";
    watchTheme(this.#context.source.live, () => this.#show(new Set(["theme"])));
    this.#context.state.subscribe((changed) => this.#react(changed));
    this.#say(el("p", {}, "Loading …"));
    await this.#poll();
    if (!this.#context.source.live) return;
    this.#takeKeys();
    document.addEventListener("visibilitychange", () => this.#poll());
    addEventListener("resize", () => {
      this.#takeKeys();
      if (!this.#loaded) this.#poll();
    });
  }

  /** When TensorBoard brings this tab into sight, its keys work at once; they are not taken later. */
  #takeKeys() {
    const appears = isSeen() && !this.#seen;
    this.#seen = isSeen();
    if (appears && parent !== window) window.focus();
  }

  /** Looks for what is new, now and again while the page can be seen. */
  async #poll() {
    clearTimeout(this.#timer);
    this.#seen &&= isSeen();
    if (isSeen() && !this.#polling) {
      this.#polling = true;
      try {
        const more = await this.#context.update();
        if (more || !this.#loaded) {
          this.#loaded = true;
          this.#show(new Set(["data"]));
        } else this.#report();
      } catch (error) {
        this.#fail(error);
      } finally {
        this.#polling = false;
      }
    }
    if (this.#context.source.live) this.#timer = setTimeout(() => this.#poll(), POLL);
  }

  /** Follows a change of the state; a run that isn't loaded yet is loaded first. */
  async #react(changed) {
    if (changed.has("run")) {
      changed.add("data");
      try {
        await this.#context.open(this.#context.run);
      } catch (error) {
        this.#fail(error);
        return;
      }
    }
    this.#show(changed);
  }

  /** Brings the page up to date with what changed. */
  #show(changed) {
    if (!this.#loaded) return;
    for (const entry of this.#views.values()) changed.forEach((key) => entry.stale.add(key));
    this.#report();
    const ready = Boolean(this.#context.log?.header && this.#context.log.steps.length);
    this.#toolbar.element.hidden = this.#main.hidden = !ready;
    if (!ready) return;
    this.#toolbar.update();
    const entry = this.#viewOf(this.#context.state.get("view"));
    if (entry !== this.#shown) {
      this.#shown?.view.destroy?.();
      this.#shown = entry;
      replace(this.#main, entry.view.element);
    }
    const { stale } = entry;
    entry.stale = new Set();
    if (stale.size) entry.view.update(stale);
  }

  #viewOf(wanted) {
    const name = Object.hasOwn(VIEWS, wanted) ? wanted : DEFAULTS.view;
    if (!this.#views.has(name)) {
      const all = new Set([...Object.keys(DEFAULTS), "data", "theme"]);
      this.#views.set(name, { view: VIEWS[name].create(this.#context), stale: all });
    }
    return this.#views.get(name);
  }

  /** Says what is in the way of showing more, or nothing. */
  #report() {
    const { runs, log } = this.#context;
    const problems = log?.problems ?? [];
    this.#problems.hidden = !problems.length;
    const title = problems.length === 1 ? "1 thing can't be shown" : `${problems.length} things can't be shown`;
    const list = el("ul", {}, problems.map((text) => el("li", {}, text)));
    replace(this.#problems, el("summary", {}, title), list);
    if (!runs.length) this.#say(introduction());
    else if (log && !log.header) this.#miss(`The run ${log.run} has no probes that this page can show.`);
    else if (log && !log.steps.length) this.#miss("No step is logged yet. The first appears here by itself.");
    else if (log) this.#say();
  }

  /** Says why the run can't be shown, and offers the others. */
  #miss(reason) {
    const { runs, run } = this.#context;
    this.#otherRun.update(runs.map((name) => [name, name]), run);
    this.#say(el("p", {}, reason), runs.length > 1 && this.#otherRun.element);
  }

  #fail(error) {
    const retry = el("button", { type: "button", "data-testid": "retry", onclick: () => this.#poll() }, "Try again");
    this.#say(el("p", {}, error.message, " ", retry));
  }

  #say(...children) {
    this.#notice.hidden = !children.length;
    replace(this.#notice, ...children);
  }
}

/** Whether this page is in sight: TensorBoard keeps the frames of other tabs, without a size. */
function isSeen() {
  return document.visibilityState === "visible" && innerWidth > 0 && innerHeight > 0;
}

/** What to do where nothing is logged. */
function introduction() {
  return el(
    "div",
    { class: "introduction", "data-testid": "introduction" },
    el("h1", {}, "No saliency maps yet"),
    el("p", {}, "Add one callback to your training, and the maps of the same images appear here after every epoch:"),
    el("pre", {}, el("code", {}, CODE)),
    el("p", {}, "Already training? Look whether TensorBoard reads the same log_dir. This page looks again every few seconds."),
  );
}
