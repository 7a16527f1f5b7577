/* The report: views and texts as one HTML file. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, waitForStep, waitUntil } from "./harness.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const NAME = 'lr <b onclick="x">0.1</b>';

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;
/** The link with the owner's token. */ let owner;

before(async () => {
    daemon = new Daemon();
    daemon.http = "on"; // with tokens of its own
    await daemon.start();
    player = new Player(daemon);
    owner = JSON.parse(readFileSync(join(daemon.folder, "endpoints.json"))).page;
    for (const [run, name, lr] of [["a", NAME, 0.1], ["b", "lr 0.01", 0.01]]) {
        await player.do("open", run, { name, config: { lr, depth: 3 } });
        for (const step of [1, 10, 100]) await player.do("checkpoint", run, { step, d_lr: 0.5 });
        await player.do("close", run);
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

const ITEMS = "#report-items > li";
const shots = (page) => page.locator(".shots button").count();

async function openReport(link, options) {
    const page = await openPage(link, options);

    await waitForStep(page, 100);
    await page.evaluate(() => document.querySelectorAll("details.panel").forEach((d) => (d.open = d.id === "report" || d.id === "sweep")));
    await page.waitForSelector("#sweep-chart svg");
    return page;
}

async function addView(page) {
    const before = await page.locator(ITEMS).count();

    await page.click("#report-view");
    await waitUntil(async () => (await page.locator(ITEMS).count()) > before, "the view in the report");
}

async function addText(page, text) {
    await page.click("#report-text");
    await page.locator(`${ITEMS} textarea`).last().fill(text);
}

async function download(page) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("#report-download")]);
    const path = join(daemon.folder, file.suggestedFilename());

    await file.saveAs(path);
    return path;
}

/** What a file shows without network and without script. */
async function readOffline(path, options = {}) {
    const page = await openPage(`file://${path}`, { offline: true, javaScriptEnabled: false, ...options });
    const images = await page.locator("img").evaluateAll((all) => all.map((image) => image.complete && image.naturalWidth > 0));
    const shown = {
        images,
        headings: await page.locator("h1, h2, h3").allTextContents(),
        list: await page.locator("li").allTextContents(),
        bold: await page.locator("strong").allTextContents(),
        rows: await page.locator("tbody tr").allTextContents(),
        head: await page.locator("thead").textContent(),
        links: await page.locator("a").evaluateAll((all) => all.map((a) => a.href)),
        paper: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
        width: await page.evaluate(() => document.documentElement.scrollWidth),
    };

    await closePage(page);
    return shown;
}

test("views and texts become one file that opens without network and script", async () => {
    const page = await openReport(`${owner}&runs=a,b`, { colorScheme: "dark" });

    await page.fill("#report-title", "What <lr> does");
    await addView(page);
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    await addText(page, "# Found\n\nThe **larger** one.\n\n- one <script>alert(1)</script>\n- two");
    await page.click(`${ITEMS}:nth-child(2) .up`);
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "move up: text");
    assert.equal(await page.inputValue(`${ITEMS}:first-child textarea`), "# Found\n\nThe **larger** one.\n\n- one <script>alert(1)</script>\n- two");

    const path = await download(page);
    const shown = await readOffline(path, { colorScheme: "dark", viewport: { width: 400, height: 800 } });
    assert.deepEqual(shown.headings, ["What <lr> does", "Found", "d_debiased of 2 runs"]);
    assert.deepEqual(shown.list, ["one <script>alert(1)</script>", "two"]);
    assert.deepEqual(shown.bold, ["larger"]);
    assert.equal(shown.images.length, 4); // chart, sweep, and the looks of two runs
    assert.ok(shown.images.every(Boolean));
    assert.match(shown.head, /run.*lr.*layer.*latest/);
    assert.doesNotMatch(shown.head, /depth/);
    assert.ok(shown.rows[0].includes(`${NAME}0.1head`) && /0\.\d+/.test(shown.rows[0]), shown.rows[0]);
    assert.deepEqual(shown.links, [`${daemon.url}#runs=a%2Cb`]);
    assert.equal(shown.paper, "rgb(25, 29, 33)");
    assert.equal(shown.width, 400);
    assert.equal((await readOffline(path)).paper, "rgb(255, 255, 255)");
    assert.doesNotMatch(readFileSync(path, "utf8"), /token/);

    await page.evaluate(AXE); // not a script of the page: the CSP stays as it is
    const { violations } = await page.evaluate(() => window.axe.run("#report"));
    assert.deepEqual(violations.map((v) => v.id), []);
    await closePage(page);
});

test("a draft stays in the browser, and on the daemon without its pictures, which are taken again", async () => {
    const page = await openReport(`${owner}&runs=a&spacing=linear`);

    await page.fill("#report-title", "Kept");
    await addText(page, "first\n\nsecond");
    await addView(page);
    await page.locator(".shots button").last().click();
    assert.equal(await shots(page), 1);
    const kept = () => page.evaluate(() => JSON.parse(localStorage.getItem(`richd.report ${location.pathname}`))?.items.at(-1).pictures ?? []);
    await waitUntil(async () => (await kept()).length === 1, "the draft in the storage");
    assert.match((await kept())[0].source, /^data:image\/svg\+xml,/);
    await page.reload();
    await waitForStep(page, 100);
    await page.evaluate(() => (document.getElementById("report").open = true));
    assert.equal(await page.inputValue("#report-title"), "Kept");
    assert.equal(await shots(page), 1);
    await page.click("#report-keep");
    await waitUntil(async () => (await page.textContent("#report-note")).startsWith("Kept on the daemon"), "the draft on the daemon");
    await closePage(page);

    const other = await openReport(`${owner}&runs=b`);
    await waitUntil(async () => (await other.locator("#report-kept option").count()) === 2, "the kept report");
    await other.selectOption("#report-kept", "Kept");
    await waitUntil(async () => (await other.locator(ITEMS).count()) === 2, "its items");
    assert.equal(await other.inputValue(`${ITEMS} textarea`), "first\n\nsecond");
    assert.equal(await shots(other), 0);
    await other.click("#report-again");
    await waitUntil(async () => (await shots(other)) === 2, "the pictures");
    assert.equal(await other.evaluate(() => location.hash), "#runs=b");
    await closePage(other);
});

test("what is no draft is not read as one, and links lead to the web alone", async () => {
    const page = await openPage(daemon.url);
    const read = await page.evaluate(async () => {
        const { fromText, toText } = await import("./data/report.js");
        const { toHtml } = await import("./data/marktext.js");
        const report = { title: "T", items: [{ kind: "text", text: "a\n\nb" }, { kind: "view", title: "x](#y) & z", query: "runs=a%2Cb" }] };
        return {
            again: fromText(toText(report)),
            report,
            none: [fromText(""), fromText("# only a heading"), fromText("a note\n\n[x](#runs=a)")],
            html: toHtml("[x](javascript:alert(1)) [y](https://a.b/?c=\"d) `**c**`"),
        };
    });

    assert.deepEqual(read.again, read.report);
    assert.deepEqual(read.none, [null, null, null]);
    assert.equal(read.html, '<p>[x](javascript:alert(1)) <a href="https://a.b/?c=&quot;d">y</a> <code>**c**</code></p>');
    await closePage(page);
});
