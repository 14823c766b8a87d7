"use strict";
// The values under the pointer, and under the arrow keys, from the table below each chart.
for (const chart of document.querySelectorAll(".chart")) {
  const plot = chart.querySelector(".plot");
  const titles = [...chart.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const rows = [...chart.querySelectorAll("tbody tr")];
  const places = rows.map((row) => Number(row.dataset.x));
  if (!rows.length) continue;
  const cross = document.createElement("div");
  const tip = document.createElement("div");
  cross.className = "cross";
  tip.className = "tip";
  cross.hidden = tip.hidden = true;
  tip.setAttribute("role", "status");
  plot.append(cross, tip);
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", `${chart.querySelector("h3").textContent}: arrow keys read the values`);
  let at = 0;
  const hide = () => { cross.hidden = tip.hidden = true; };
  const show = (row) => {
    at = row;
    const cells = [...rows[row].cells].map((cell) => cell.textContent);
    const lines = cells.slice(1).map((text, number) => `${titles[number + 1]}  ${text}`);
    const head = document.createElement("b");
    head.textContent = cells[0];
    tip.replaceChildren(head);
    for (const line of lines) {
      const text = document.createElement("div");
      text.textContent = line;
      tip.append(text);
    }
    cross.hidden = tip.hidden = false;
    const x = places[row] * plot.clientWidth;
    cross.style.left = `${x}px`;
    const room = plot.clientWidth - tip.offsetWidth;
    const beside = x + 12 > room ? x - 12 - tip.offsetWidth : x + 12;
    tip.style.left = `${Math.max(-50, Math.min(beside, Math.max(room, 0)))}px`;
  };
  const nearest = (place) => {
    let best = 0;
    places.forEach((other, row) => { if (Math.abs(other - place) < Math.abs(places[best] - place)) best = row; });
    return best;
  };
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    show(nearest((event.clientX - box.left) / box.width));
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      show(Math.min(rows.length - 1, Math.max(0, tip.hidden ? at : at + step)));
      event.preventDefault();
    } else if (event.key === "Escape") {
      hide();
    }
  });
}
