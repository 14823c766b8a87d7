// The load generator's pages in a real browser: `page_suite.mjs STALL.html CONN.html MIXED.html HOSTILE.html [SHOTS]`.
// Prints a line for each check; exit code 0 if all hold. With a folder SHOTS it leaves pictures there.
// The package is found through MILLRACE_NODE_MODULES, the browser through MILLRACE_CHROMIUM.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.MILLRACE_NODE_MODULES}/`);
const { chromium } = require("playwright-core");

const [stall, conn, mixed, hostile, shots] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.MILLRACE_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

let failed = 0;
const check = async (name, body) => {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}\n${error.stack}`);
  }
};

// Opens a page and gathers whatever it should not do.
const withPage = async (file, { width = 1280, theme = "light", scripts = true } = {}, body) => {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: theme, javaScriptEnabled: scripts, offline: true,
  });
  const trouble = [];
  try {
    const page = await context.newPage();
    page.on("console", (message) => trouble.push(`console ${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => { trouble.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) trouble.push(`request: ${request.url()}`);
    });
    await page.goto(pathToFileURL(file).href);
    await body(page);
    assert.deepEqual(trouble, []);
  } finally {
    await context.close();
  }
};

// Each chart: its name, the points of each of its lines, its place.
const charts = (page) => page.$$eval(".chart", (figures) => figures.map((figure) => {
  const drawing = figure.querySelector(".plot > svg");
  const box = drawing.getBoundingClientRect();
  return {
    id: figure.id,
    points: [...drawing.querySelectorAll("path.line")].map((path) => (path.getAttribute("d").match(/[ML]/g) ?? []).length),
    drawn: [...drawing.querySelectorAll("path.line")].every((path) => {
      const line = path.getBBox();
      return line.x >= 0 && line.y >= 0 && line.x + line.width <= 1000.5 && line.y + line.height <= 300.5;
    }),
    numbers: [...drawing.querySelectorAll("path")].every((path) => !/NaN|inf/i.test(path.getAttribute("d"))),
    width: box.width,
    height: box.height,
    title: drawing.querySelector("title").textContent,
    description: drawing.querySelector("desc").textContent,
    marks: figure.querySelectorAll(".y span, .x span").length,
    rows: figure.querySelectorAll("tbody tr").length,
  };
}));

const byId = (found, id) => {
  const chart = found.find((one) => one.id === id);
  assert.ok(chart, `a chart ${id} among ${found.map((one) => one.id)}`);
  return chart;
};

// The least contrast of any text with what is behind it, and of any line of a chart, as WCAG 2 counts it.
const contrast = (page) => page.evaluate(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const between = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const least = { text: 99, line: 99, of: "" };
  for (const element of document.querySelectorAll("main *")) {
    const style = getComputedStyle(element);
    if (element.matches("path.line")) {
      least.line = Math.min(least.line, between(rgba(style.stroke), behind(element)));
    } else if ([...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && !element.closest("svg")) {
      const ratio = between(rgba(style.color), behind(element));
      if (ratio < least.text) Object.assign(least, { text: ratio, of: element.outerHTML.slice(0, 120) });
    }
  }
  return least;
});

const shot = async (page, name) => {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
};

for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
  await check(`a run with messages is readable, ${theme}, ${width} px`, () => withPage(stall, { width, theme }, async (page) => {
    const found = await charts(page);
    for (const id of ["rate", "latency", "percentiles", "broker-cpu", "broker-memory"]) {
      const chart = byId(found, id);
      assert.ok(chart.points.length > 0 && chart.points.every((points) => points >= 3), `${id}: ${chart.points}`);
      assert.ok(chart.drawn && chart.numbers, `${id} stays within its frame`);
      assert.ok(chart.width > 250 && chart.height > 200, `${id}: ${chart.width} x ${chart.height}`);
      assert.ok(chart.title && chart.description && chart.marks >= 4 && chart.rows >= 3, JSON.stringify(chart));
    }
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, "nothing is wider than the page");
    const least = await contrast(page);
    assert.ok(least.text >= 4.5 && least.line >= 3, JSON.stringify(least));
    await shot(page, `stall-${theme}-${width}`);
  }));
}

await check("labels of an axis do not lie on each other", async () => {
  for (const width of [1280, 390]) {
    await withPage(stall, { width }, async (page) => {
      const overlaps = await page.$$eval(".x, .y", (axes) => axes.flatMap((axis) => {
        const boxes = [...axis.children].map((label) => label.getBoundingClientRect()).filter((box) => box.width);
        return boxes.flatMap((one, at) => boxes.slice(at + 1)
          .filter((two) => one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom)
          .map(() => axis.closest(".chart").id));
      }));
      assert.deepEqual(overlaps, [], `${width} px`);
    });
  }
});

await check("a standstill is seen", () => withPage(stall, {}, async (page) => {
  assert.ok(await page.locator("#rate rect.band").count() >= 1);
  assert.equal(await page.locator("#rate span.band").first().textContent(), "nothing arrived");
  const worst = await page.$$eval("#latency tbody tr", (rows) => rows.map((row) => row.lastElementChild.textContent));
  assert.ok(worst.some((text) => / s$/.test(text)), `a second with latencies of seconds in ${worst}`);
}));

await check("the pointer and the arrow keys read values", () => withPage(stall, {}, async (page) => {
  const plot = page.locator("#latency .plot");
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.9, box.y + box.height / 2);
  const tip = page.locator("#latency .tip");
  await tip.waitFor({ state: "visible" });
  assert.match(await tip.textContent(), /s to .* sp50/);
  await page.mouse.move(2, 2);
  await tip.waitFor({ state: "hidden" });
  await plot.focus();
  await page.keyboard.press("ArrowLeft");
  await tip.waitFor({ state: "visible" });
  const first = await tip.textContent();
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await tip.textContent(), first);
  await page.keyboard.press("Escape");
  await tip.waitFor({ state: "hidden" });
}));

await check("without scripts nothing is missing", () => withPage(stall, { scripts: false }, async (page) => {
  assert.equal(await page.locator(".chart .plot > svg").count(), 5);
  assert.ok(await page.locator("#rate .plot > svg").isVisible());
  assert.equal(await page.locator(".tip").count(), 0);
  await page.locator("#rate summary").click();
  assert.ok(await page.locator("#rate tbody tr").first().isVisible());
}));

for (const theme of ["light", "dark"]) {
  await check(`a run without messages shows connections, ${theme}`, () => withPage(conn, { theme }, async (page) => {
    const found = await charts(page);
    assert.deepEqual(found.map((chart) => chart.id), ["connections", "percentiles"]);
    assert.ok(found.every((chart) => chart.points.every((points) => points >= 3) && chart.drawn && chart.numbers));
    const least = await contrast(page);
    assert.ok(least.text >= 4.5 && least.line >= 3, JSON.stringify(least));
    await shot(page, `conn-${theme}`);
  }));
}

await check("each stream of a mix has its row", () => withPage(mixed, { width: 390 }, async (page) => {
  const table = page.locator("section", { has: page.locator("h3", { hasText: "Streams of the mix" }) });
  const rows = await table.locator("tbody tr").evaluateAll((found) => found.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.deepEqual(rows.map((cells) => cells.slice(0, 2)), [["telemetry", "fan-in"], ["pairs", "pairs"]]);
  assert.ok(rows.every((cells) => cells.length === 12 && cells[5] === "0" && / [mun]?s$/.test(cells[10])), JSON.stringify(rows));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, "nothing is wider than the page");
  await shot(page, "mixed");
}));

await check("hostile text stays text", () => withPage(hostile, {}, async (page) => {
  assert.ok((await page.locator("main").textContent()).includes("<img src=x onerror=alert(1)>"));
  const elements = await page.$$eval("img, iframe, object, embed, form, a, script, meta, link", (found) => found.map((one) => one.localName));
  assert.deepEqual(elements.sort(), ["link", "meta", "meta", "meta", "meta", "script"]);
  const handlers = await page.$$eval("*", (found) => found.flatMap((one) => [...one.attributes].filter((a) => /^on/i.test(a.name))).length);
  assert.equal(handlers, 0);
  await shot(page, "hostile");
}));

await check("should markup ever get through, the page's policy stops it", async () => {
  const context = await browser.newContext({ offline: true });
  const page = await context.newPage();
  const refused = [];
  page.on("console", (message) => refused.push(message.text()));
  await page.goto(pathToFileURL(hostile).href);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.slipped = true";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.slipped = true'>");
  });
  await page.waitForTimeout(200);
  assert.equal(await page.evaluate(() => window.slipped), undefined);
  assert.ok(refused.length >= 1, "the browser says that it refused");
  await context.close();
});

await browser.close();
process.exitCode = failed === 0 ? 0 : 1;
