
"use strict";
(() => {
  const POLL = 1000;
  const PATIENCE = 5000;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = id => document.getElementById(id);
  const sum = numbers => numbers.reduce((total, each) => total + each, 0);
  const count = number => number.toLocaleString("en");
  const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

  function duration(seconds) {
    if (seconds === null) return "–";
    if (seconds === 0) return "0";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${count(Math.round(seconds / 86400))} days`;
  }

  function moment(milliseconds) {
    const time = new Date(milliseconds);
    if (milliseconds === null || isNaN(time)) return "–";
    const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    return Date.now() - time < 43200000 ? clock : `${time.toLocaleDateString()} ${clock}`;
  }

  const memory = bytes => (bytes === null ? "–" : `${count(Math.round(bytes / 1048576))} MiB`);

  // What has not changed is not touched: a selection stays, and a screen reader has nothing to repeat.
  function put(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function make(name, text, className) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  }

  // Fills a table; each cell is {text, small, progress, number, head}. What others wrote stands in a bdi.
  function fill(id, rows, empty) {
    const table = byId(id);
    const body = table.tBodies[0];
    const width = table.tHead.rows[0].cells.length;
    const shape = rows.length ? rows.map(row => row.map(cell => kind(cell)).join()).join(";") : empty;
    if (body.dataset.shape !== shape) {
      body.dataset.shape = shape;
      body.replaceChildren(...(rows.length ? rows.map(newRow) : [emptyRow(width, empty)]));
    }
    rows.forEach((row, at) => row.forEach((cell, column) => update(body.rows[at].cells[column], cell)));
  }

  const kind = cell => `${cell.progress === undefined ? "t" : "p"}${cell.small === undefined ? "" : "s"}`;

  function emptyRow(width, text) {
    const row = make("tr");
    const cell = make("td", text, "empty");
    cell.colSpan = width;
    row.append(cell);
    return row;
  }

  function newRow(cells) {
    const row = make("tr");
    for (const cell of cells) {
      const node = make(cell.head ? "th" : "td", undefined, cell.number ? "number" : "");
      if (cell.head) node.scope = "row";
      if (cell.progress === undefined) {
        node.append(make("bdi"));
      } else {
        const bar = make("progress");
        bar.max = 100;
        node.append(bar, make("span", "", "percent"));
      }
      if (cell.small !== undefined) {
        const small = make("small");
        small.append(make("bdi"));
        node.append(small);
      }
      row.append(node);
    }
    return row;
  }

  function update(node, cell) {
    if (cell.progress === undefined) {
      put(node.querySelector("bdi"), cell.text);
    } else {
      const bar = node.querySelector("progress");
      bar.value = cell.progress;
      bar.setAttribute("aria-label", cell.label);
      put(node.querySelector(".percent"), `${cell.progress} %`);
    }
    if (cell.small !== undefined) put(node.querySelector("small bdi"), cell.small);
  }

  function showSlots(slots) {
    const rows = slots.map((slot, number) => {
      const job = slot.job;
      const head = { text: String(number), head: true };
      const used = { text: memory(slot.memory_bytes), number: true };
      if (job === null) return [head, { text: "idle" }, { text: "" }, { text: "", number: true }, used];
      const progress = { progress: job.progress, label: `Progress of job ${job.job_id}` };
      return [head, { text: job.task_type, small: job.job_id }, progress, { text: duration(job.seconds), number: true }, used];
    });
    fill("slots", rows, "None yet.");
  }

  function showQueue(queue) {
    const rows = (queue || []).map(task => [
      { text: task.task_type, head: true },
      { text: count(task.queued), number: true },
      { text: duration(task.oldest_seconds), number: true },
      { text: count(task.running), number: true },
    ]);
    fill("queue", rows, queue === null ? "The database does not answer." : "Nothing waits and nothing runs.");
  }

  function showFailures(failures) {
    const rows = failures.map(each => [
      { text: moment(each.ended_at) },
      { text: each.task_type, small: each.job_id },
      { text: each.message },
    ]);
    fill("failures", rows, "None.");
  }

  function showFigures(state) {
    const busy = state.slots.filter(slot => slot.job !== null).length;
    const queue = state.queue || [];
    const ages = queue.map(task => task.oldest_seconds).filter(age => age !== null);
    const broker = state.broker;
    const figures = [
      ["Slots busy", `${busy} of ${state.slots.length}`, ""],
      ["Waiting", state.queue === null ? "–" : count(sum(queue.map(task => task.queued))),
        ages.length ? `oldest ${duration(Math.max(...ages))}` : ""],
      ["Running", state.queue === null ? "–" : count(sum(queue.map(task => task.running))), "on all workers"],
      ["Last 10 minutes", count(sum(state.history.completed)), `completed, ${count(sum(state.history.failed))} failed`],
      ["MQTT", broker === null ? "off" : broker.connected ? "connected" : "away", (broker && broker.reason) || ""],
    ];
    const list = byId("figures");
    if (!list.children.length) {
      list.append(...figures.map(() => {
        const group = make("div");
        const value = make("dd");
        value.append(make("span"), make("small"));
        group.append(make("dt"), value);
        return group;
      }));
    }
    figures.forEach(([name, value, more], at) => {
      const group = list.children[at];
      put(group.querySelector("dt"), name);
      put(group.querySelector("span"), value);
      put(group.querySelector("small"), more);
    });
  }

  function drawn(name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // The next of 2, 4, 6, 8, 10, 20, 40, … so that the scale is easy to read, at its middle too, and seldom changes.
  function roundedUp(value, least) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, least)));
    return [1, 2, 4, 6, 8, 10].map(step => step * power).find(step => step >= Math.max(value, least));
  }

  // Draws stacked or overlaid bars: each series has a class and values; "label" writes a value of the scale.
  function chart(id, series, stacked, least, label) {
    const box = byId(id);
    const width = Math.max(240, box.clientWidth);
    const height = Math.max(120, box.clientHeight);
    const [left, top, bottom] = [52, 8, 20];
    const length = series[0].values.length;
    const totals = series[0].values.map((_, at) =>
      (stacked ? sum : numbers => Math.max(...numbers))(series.map(each => each.values[at] || 0)));
    const most = roundedUp(Math.max(...totals), least);
    const step = (width - left) / length;
    const scale = (height - top - bottom) / most;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
    for (const part of [0, 0.5, 1]) {
      const y = height - bottom - part * most * scale;
      svg.append(drawn("line", { x1: left, x2: width, y1: y, y2: y }));
      svg.append(drawn("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, label(part * most)));
    }
    for (let at = 0; at < length; at++) {
      let base = 0;
      for (const each of series) {
        const value = each.values[at] || 0;
        if (!value) continue;
        const size = Math.max(1, value * scale);
        svg.append(drawn("rect", {
          class: each.name, x: left + at * step + step * 0.1, width: step * 0.8,
          y: height - bottom - base * scale - size, height: size,
        }));
        if (stacked) base += value;
      }
    }
    svg.append(drawn("text", { x: left, y: height - 4 }, "10 min ago"));
    svg.append(drawn("text", { x: width, y: height - 4, "text-anchor": "end" }, "now"));
    box.replaceChildren(svg);
  }

  function showCharts(history) {
    const { completed, failed, average_wait_seconds: average, longest_wait_seconds: longest } = history;
    chart("throughput", [{ name: "completed", values: completed }, { name: "failed", values: failed }], true, 2, count);
    chart("waiting", [{ name: "longest", values: longest }, { name: "average", values: average }], false, 0.01, duration);
    const busiest = Math.max(...completed.map((number, at) => number + failed[at]));
    const ended = sum(completed) + sum(failed);
    put(byId("throughput-summary"), ended
      ? `Jobs of this worker in each ${history.span_seconds} s; ${busiest} at most, ${(ended / 10).toFixed(1)} a minute.`
      : "This worker has ended no job in the last 10 minutes.");
    const weighted = sum(average.map((each, at) => (each || 0) * (completed[at] + failed[at])));
    put(byId("waiting-summary"), ended
      ? `From a job's creation to its start; ${duration(weighted / ended)} on average, ${duration(Math.max(...longest))} at most.`
      : "No job, so none has waited.");
  }

  function say(text, good) {
    const status = byId("status");
    put(status, text);
    status.className = good ? "" : "bad";
  }

  let shown = null;
  let drawnFor = "";

  function show(state) {
    shown = state;
    const first = state.hindrances.length ? state.hindrances.join("; ") : "";
    say(state.ready ? `Takes jobs: ${state.task_types.join(", ")}` : `Not ready: ${first}`, state.ready);
    showFigures(state);
    showSlots(state.slots);
    showQueue(state.queue);
    showFailures(state.failures);
    const wanted = JSON.stringify([state.history, innerWidth]);
    if (drawnFor !== wanted) {
      drawnFor = wanted;
      showCharts(state.history);
    }
  }

  let timer = 0;
  const pause = byId("pause");
  const isPaused = () => pause.getAttribute("aria-pressed") === "true";

  async function poll() {
    clearTimeout(timer);
    try {
      const answer = await fetch("/state.json", { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const state = await answer.json();
      if (!isPaused()) show(state);
    } catch {
      say("The worker does not answer; what stands below is old.", false);
    }
    clearTimeout(timer);
    if (!isPaused() && !document.hidden) timer = setTimeout(poll, POLL);
  }

  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!isPaused()));
    if (isPaused()) clearTimeout(timer);
    else poll();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !isPaused()) poll();
  });
  addEventListener("resize", () => {
    if (shown !== null) show(shown);
  });

  pause.hidden = false;
  byId("live").hidden = false;
  poll();
})();
