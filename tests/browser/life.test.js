/* The page through the daemon's restarts, behind a token, and for those who cannot see or point. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import {
    boxOf,
    closeBrowser,
    closePage,
    Daemon,
    openPage,
    Player,
    readTable,
    waitForStep,
    waitUntil,
    weakColours,
} from "./harness.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    await player.do("open", "run", { name: "run", layers: ["low", "head"] });
    await player.do("replay", "run", { csv: "mod97_squared_error_seed2.csv", until: 300 });
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

test("what is wrong with the history is said in the bar", async () => {
    const page = await openPage(daemon.url);

    await page.waitForSelector("#live[data-state=live]");
    assert.equal(await page.isVisible("#problems"), false);
    await daemon.stop();
    writeFileSync(join(daemon.folder, "state", "richd.sqlite.seq"), "1000000\n");
    await daemon.start();
    await page.waitForSelector("#problems", { state: "visible" });
    assert.match(await page.textContent("#problem-count"), /1 problem/);
    await page.click("#problem-count");
    assert.match(await page.textContent("#problem-rows li"), /ended at 1000000: .* is missing/);
    for (const width of [700, 390]) {
        await page.setViewportSize({ width, height: 800 });
        const box = await page.locator("#problems > div").boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `at ${width}: ${JSON.stringify(box)}`);
    }
    await daemon.stop();
    await daemon.start();
    await page.waitForSelector("#problems", { state: "hidden" });
    await closePage(page);
});

test("the daemon is restarted while the page is open: it says so, comes back and misses no point", async () => {
    const page = await openPage(`${daemon.url}#runs=run`);
    await waitForStep(page, 250);
    const steps = (await readTable(page)).slice(1).map((r) => Number(r[0]));

    await daemon.stop();
    await page.waitForSelector("#live[data-state=stale]");
    assert.match(await page.textContent("#live"), /stale for \d+ s/);
    assert.match(await page.textContent("#live-spoken"), /stale/);
    await daemon.start();
    for (let step = 400; step < 420; step++) {
        assert.deepEqual((await player.do("checkpoint", "run", { step, d_lr: 0.45 })).layers, [
            "head",
            "low",
        ]);
        steps.push(step);
    }
    await waitForStep(page, 419);
    await page.waitForSelector("#live[data-state=live]");
    assert.deepEqual(
        (await readTable(page)).slice(1).map((r) => Number(r[0])),
        steps,
    );
    await closePage(page);
});

test("rows that a killed daemon lost are marked, and told in words", async () => {
    await player.do("open", "cut", { name: "cut" });
    await player.do("checkpoint", "cut", { step: 1, d_lr: 0.5 });
    await player.do("observe", "cut", { step: 2, d_lr: 0.5 });
    await daemon.kill();
    await daemon.start();
    await player.do("checkpoint", "cut", { step: 3, d_lr: 0.5 });
    const page = await openPage(`${daemon.url}#runs=cut`);

    await waitForStep(page, 3);
    await waitUntil(
        async () =>
            /△ cut head: rows are missing at step 3⚑ cut head: partial: rows or ranks are missing/.test(await page.textContent("#event-list")),
        "the gap",
    );
    await player.do("close", "cut");
    await closePage(page);
});

test("a run that begins while the page is open appears in its list", async () => {
    const page = await openPage(`${daemon.url}#runs=run`);
    await waitForStep(page, 250);

    await player.do("open", "fresh", { name: "fresh" });
    const { d_debiased } = await player.do("checkpoint", "fresh", { step: 3, d_lr: 0.25 });
    await page.waitForSelector("#run-rows li[data-run=fresh]");
    await waitUntil(
        async () =>
            (await page.textContent("#run-rows li[data-run=fresh]")).includes(
                d_debiased.toFixed(4),
            ),
        "its value",
    );
    await player.do("close", "fresh");
    await closePage(page);
});

async function findings(page) {
    await page.evaluate(() =>
        document.querySelectorAll("details.panel").forEach((d) => (d.open = true)),
    );
    await page.waitForTimeout(800);
    await page.evaluate(AXE); // not a script of the page: the CSP stays as it is
    const { violations, passes } = await page.evaluate(() => window.axe.run());
    assert.ok(passes.length > 20);
    return violations.map(
        (v) =>
            `${v.impact}: ${v.id}: ${v.nodes
                .map((n) => n.target.join(" "))
                .slice(0, 4)
                .join(", ")}`,
    );
}

for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["at 400 px", { viewport: { width: 400, height: 800 } }],
]) {
    test(`axe finds nothing to complain of, ${name}`, async () => {
        const page = await openPage(`${daemon.url}#runs=run&pins=run`, options);
        await waitForStep(page, 250);

        assert.deepEqual(await findings(page), []);
        await closePage(page);
    });
}

test("the colours of runs have a contrast of 3 : 1 at least, and signs another one each", async () => {
    for (const colorScheme of ["light", "dark"]) {
        const page = await openPage(`${daemon.url}#runs=run`, { colorScheme });
        const colours = await page.evaluate(async () => {
            const { colour, N_COLOURS } = await import("./base/palette.js");
            return Array.from({ length: N_COLOURS }, (_, i) => colour(i));
        });
        assert.deepEqual(await weakColours(page, colours), []);
        await closePage(page);
    }
});

test("at 400 px nothing is cut off, and the list opens over the page", async () => {
    const page = await openPage(`${daemon.url}#runs=run`, {
        viewport: { width: 400, height: 800 },
    });
    await waitForStep(page, 250);

    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400);
    await page.click("#runs-toggle");
    assert.ok(await page.isVisible("#run-rows li[data-run=run]"));
    await page.click("#runs-toggle");
    assert.ok(await page.isVisible("#chart canvas"));
    await closePage(page);
});

test("the list is used by keyboard alone", async () => {
    const page = await openPage(daemon.url);
    await page.waitForSelector("#run-rows li[data-run=run]");
    await page.waitForSelector("#legend tr"); // the newest run, which the page shows by itself
    await page.focus("#run-rows li[data-row='0'] input");

    await page.keyboard.press("ArrowDown");
    assert.equal(await page.evaluate(() => document.activeElement.closest("li").dataset.row), "1");
    await page.keyboard.press("Space");
    await waitUntil(async () => (await page.locator("#legend tr").count()) === 2, "the second run");
    await page.keyboard.press("p");
    await waitUntil(async () => (await page.locator("#pin-rows li").count()) === 1, "the pin");
    await closePage(page);
});

test("reduced motion: nothing moves by itself", async () => {
    const page = await openPage(`${daemon.url}#runs=run`, { reducedMotion: "reduce" });
    await waitForStep(page, 250);

    const moving = await page.evaluate(
        () =>
            [...document.querySelectorAll("*")].filter(
                (e) =>
                    parseFloat(getComputedStyle(e).transitionDuration) > 0 ||
                    getComputedStyle(e).animationName !== "none",
            ).length,
    );
    assert.equal(moving, 0);
    await closePage(page);
});

test("a daemon with a token file asks for the token, which stays out of the link", async (t) => {
    const guarded = new Daemon();
    t.after(() => guarded.close());
    const file = join(guarded.folder, "tokens");
    writeFileSync(file, "read 0123456789abcdef-read\n", { mode: 0o600 });
    guarded.flags.push("--token-file", file);
    await guarded.start();
    const page = await openPage(guarded.url);

    await page.waitForSelector("#token-dialog[open]");
    await page.fill("#token", "0123456789abcdef-wrong");
    await page.click("#token-form button");
    await page.waitForSelector("#token-dialog[open]");
    await page.fill("#token", "0123456789abcdef-read");
    await page.click("#token-form button");
    await page.waitForSelector("#live[data-state=live]");
    assert.ok(!page.url().includes("0123456789"));
    await closePage(page);
});

test("the link of a page brings the token of the daemon, which stays in the tab", async (t) => {
    const unasked = new Daemon();
    t.after(() => unasked.close());
    unasked.http = "on";
    await unasked.start();
    const { page: link } = JSON.parse(readFileSync(join(unasked.folder, "endpoints.json")));
    const token = link.split("#token=")[1];
    const page = await openPage(`${link}&spacing=linear`);

    await page.waitForSelector("#live[data-state=live]");
    assert.ok(token.length >= 32 && !page.url().includes(token));
    assert.ok(page.url().endsWith("#spacing=linear"));
    await page.reload();
    await page.waitForSelector("#live[data-state=live]");
    const other = await openPage(unasked.url); // another tab does not have it
    await other.waitForSelector("#token-dialog[open]");
    await other.goto(link); // but takes it from the link
    await other.waitForSelector("#live[data-state=live]");
    assert.ok(!(await other.isVisible("#token-dialog")));
    await closePage(page);
    await closePage(other);
});

test("what is pressed while a run streams is clicked, and keeps the focus", async () => {
    const page = await openPage(`${daemon.url}#runs=run`);
    await waitForStep(page, 250);
    await player.do("open", "fast", { name: "fast" });
    await player.do("checkpoint", "fast", { step: 0, d_lr: 0.5 });
    await page.check("#run-rows li[data-run=fast] input");
    await waitForStep(page, 0);
    const streaming = player.do("stream", "fast", { count: 120, rate: 40 });

    const pin = await boxOf(page, "#legend tr[data-run=fast] button[data-kind=pin]");
    await page.mouse.move(pin.x + 5, pin.y + 5);
    await page.mouse.down();
    await page.waitForTimeout(300); // a slow finger, a dozen points
    await page.mouse.up();
    await waitUntil(async () => (await page.locator("#pin-rows li").count()) === 1, "the pin");
    await page.focus("#legend tr[data-run=fast] button[data-kind=remove]");
    await page.waitForTimeout(500);
    assert.equal(await page.evaluate(() => document.activeElement.dataset.kind), "remove");
    await streaming;
    await player.do("close", "fast");
    await closePage(page);
});
