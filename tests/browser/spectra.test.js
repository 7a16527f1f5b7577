/* Spectra overlaid, pinned and played; what they are drawn against; and the link that has it all. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { closeBrowser, closePage, Daemon, openPage, Player, requests, waitUntil } from "./harness.js";

const STEPS = [0, 10, 20, 30, 40, 50];
/** @type {Daemon} */ let daemon;
/** @type {Player} */ let player;

before(async () => {
    daemon = await new Daemon().start();
    player = new Player(daemon);
    for (const [run, name, d_lr] of [
        ["one", "lr-small", 0.6],
        ["two", "lr-large", 0.3],
    ]) {
        await player.do("open", run, { name, project: "p", layers: ["block", "head"] });
        for (const [i, step] of STEPS.entries())
            await player.do("checkpoint", run, { step, d_lr: d_lr - 0.04 * i, spectrum: run === "one" || i % 2 === 0 });
    }
});

after(async () => {
    await closeBrowser();
    await player?.close();
    await daemon?.close();
});

const rows = (page) => page.$$eval("#spectrum-rows tr", (all) => all.map((row) => row.cells[1].textContent));

function waitForRows(page, wanted) {
    return waitUntil(async () => JSON.stringify(await rows(page)) === JSON.stringify(wanted), `the curves ${wanted}`);
}

test("steps are pinned by Enter on the slider, runs are overlaid, and a link restores it", async () => {
    const page = await openPage(`${daemon.url}#runs=one,two`);
    await waitForRows(page, ["lr-small head, step 50"]);
    await page.focus("#spectrum-step");
    await page.keyboard.press("Home");
    await waitForRows(page, ["lr-small head, step 0"]);
    await page.keyboard.press("Enter");
    await page.keyboard.press("End");
    await waitForRows(page, ["lr-small head, step 50", "lr-small head, step 0"]);
    await page.check("#spectrum-all");
    const all = ["lr-small head, step 50", "lr-large head, step 40", "lr-small head, step 0"];
    await waitForRows(page, all);
    const colours = await page.$$eval("#spectrum-rows td.sign", (cells) => cells.map((c) => c.style.color + c.textContent));
    assert.equal(new Set(colours).size, 3);
    await page.selectOption("#spectrum-against", "rho");
    await page.uncheck("#spectrum-log-k");

    const other = await openPage(page.url());
    await waitForRows(other, all);
    assert.equal(await other.inputValue("#spectrum-against"), "rho");
    assert.ok(!(await other.isChecked("#spectrum-log-k")));
    await other.click("#spectrum-rows tr:last-child button");
    await waitForRows(other, all.slice(0, 2));
    await closePage(other);
    await closePage(page);
});

test("shares against the size of features are the daemon's, and the cursor reads them by keyboard", async () => {
    const page = await openPage(`${daemon.url}#runs=one&spectrumAgainst=rho`);
    await waitForRows(page, ["lr-small head, step 50"]);
    const spectrum = await (await fetch(`${daemon.url}api/v1/runs/one/spectrum?layer=head&step=50`)).json();
    await page.focus("#spectrum-chart");
    for (let k = 1; k <= 3; k++) await page.keyboard.press("ArrowRight");
    const cells = await page.$$eval("#spectrum-rows td.number", (all) => all.map((c) => Number(c.textContent)));

    [spectrum.rho[2] / spectrum.rho[0], spectrum.pi_hat[2], spectrum.pi_star[2]].forEach((value, i) =>
        assert.ok(Math.abs(cells[i] - value) < 1e-4, `${cells[i]} is ${value}`),
    );
    await closePage(page);
});

test("play goes through all steps once, ahead of what is asked for, and stops at the end", async () => {
    const page = await openPage(`${daemon.url}#runs=one&spectrumSpeed=10`);
    await waitForRows(page, ["lr-small head, step 50"]);
    await page.evaluate(() => {
        globalThis.seen = [];
        const host = document.getElementById("spectrum-chart");
        new MutationObserver(() => globalThis.seen.push(Number(host.dataset.step))).observe(host, { attributeFilter: ["data-step"] });
    });
    await page.focus("#spectrum-step");
    await page.keyboard.press("Space");
    await waitUntil(async () => /play/.test(await page.textContent("#spectrum-play")) && (await page.evaluate(() => globalThis.seen.at(-1))) === 50, "the end");
    assert.deepEqual([...new Set(await page.evaluate(() => globalThis.seen))], STEPS);
    const asked = requests(page, "spectrum.query").map((q) => q.step);
    assert.equal(new Set(asked).size, asked.length, "each is asked for once");
    const shares = await page.evaluate(() => {
        const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("spectrum-stored"));
        const { data } = canvas.getContext("2d").getImageData(0, 1, canvas.width, 1);
        return data.filter((v, i) => i % 4 === 3 && v > 0).length / canvas.width;
    });
    assert.ok(shares > 0.95, `${shares} of the slider's line is loaded`);
    await closePage(page);
});

test("with less motion wanted the animation takes a second a step, and moving the slider stops it", async () => {
    const page = await openPage(`${daemon.url}#runs=one&spectrumSpeed=10&spectrumStep=0`, { reducedMotion: "reduce" });
    await waitForRows(page, ["lr-small head, step 0"]);
    const began = Date.now();
    await page.click("#spectrum-play");
    await waitForRows(page, ["lr-small head, step 20"]);
    assert.ok(Date.now() - began > 900);
    await page.focus("#spectrum-step");
    await page.keyboard.press("Home");
    await waitForRows(page, ["lr-small head, step 0"]);
    assert.match(await page.textContent("#spectrum-play"), /play/);
    assert.match(page.url(), /spectrumStep=0/);
    await closePage(page);
});
