/* What a page asks for as it opens: the chart's questions come before those of what stands below it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, requests, waitForStep, waitUntil } from "./harness.js";

/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const [i, run] of ["one", "two"].entries()) {
        await player.do("open", run, { name: run, config: { lr: 0.1 * (i + 1) } });
        for (const step of [1, 2, 5]) await player.do("checkpoint", run, { step, d_lr: 0.3, test_acc: 0.9 });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

/** Which question of the page that is, of all that it sent. */
function placeOf(page, what, test) {
    const place = page.sent.findIndex(({ method, params }) => method === what && test(params));

    assert.ok(place >= 0, `${what} was asked`);
    return place;
}

for (const link of ["", "#runs=one,two"])
    test(`the chart comes before the sweep, and nothing is asked twice for it (${link || "no link"})`, async () => {
        const page = await openPage(daemon.url + link);
        await waitForStep(page, 5);
        await waitUntil(() => page.locator("#sweep-chart circle").count(), "the sweep");

        const ofChart = ["series.query", "event.query", "scalars.query"].map((method) =>
            placeOf(page, method, ({ layer, names, points }) => points === undefined || layer || names),
        );
        const below = [
            placeOf(page, "run.list", ({ limit }) => limit === 1000),
            placeOf(page, "representation.list", () => true),
            placeOf(page, "series.query", ({ metrics }) => metrics.includes("stable_rank")),
        ];
        assert.ok(Math.max(...ofChart) < Math.min(...below), `${ofChart} before ${below}`);
        const beforeThem = page.sent.slice(0, Math.min(...below));
        const asked = beforeThem.map(({ method, params }) => `${method} ${JSON.stringify(params)}`);
        assert.deepEqual(asked, [...new Set(asked)]);
        assert.equal(requests(page, "run.list").filter(({ limit }) => limit === 1000).length, 1);
        await closePage(page);
    });

test("a run that the sweep meets before the list is listed, without being looked for", async () => {
    const page = await openPage(daemon.url);
    await page.addInitScript(() => (window.setInterval = () => 0)); // nothing is asked for again by the clock
    await page.reload();
    await waitForStep(page, 5);
    await waitUntil(() => page.locator("#sweep-chart circle").count(), "the sweep");

    // The list may have met the run just before: then the sweep has nothing to tell, and another one is opened.
    for (const [i, at] of ["greatest", "least", "greatest"].entries()) {
        await player.do("open", `later-${i}`, { name: `later-${i}`, config: { lr: 0.3 } });
        await page.selectOption("#sweep-at", at);
        if (await page.waitForSelector(`#run-rows li[data-run=later-${i}]`, { timeout: 9000 }).catch(() => null)) break;
        assert.ok(i < 2, "the run is listed");
    }
    await closePage(page);
});
