/* Small things that a stranger meets: marks, words, colours, and how few clicks a question takes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOf, closePage, openPage, waitForStep, waitUntil } from "./harness.js";
import { useStage } from "./stage.js";

const N_LONG = 4000;
const stage = useStage(async ({ daemon }) => {
    await daemon.stop();
    daemon.fill("flagged", N_LONG);
    await daemon.start();
});

async function waitForText(page, selector, pattern) {
    await waitUntil(async () => pattern.test(await page.textContent(selector)), `${selector} to say ${pattern}`);
}

test("a long run, which is drawn in bins, has marks where any of its points has a flag", async () => {
    const page = await openPage(`${stage.owner}#runs=long&spacing=linear`);

    await waitForStep(page, N_LONG);
    await page.evaluate(() => (document.getElementById("meaning").open = true));
    await waitForText(page, "#meaning-flags", /⚑ biased: .* Some of the points\./);
    await waitForText(page, "#meaning-flags-note", /zoom in to see which/);
    const { x, y, width, height } = await boxOf(page, "#chart .u-over");
    for (let share = 0.24; share < 0.26 && (await page.locator("#flag-tip").isHidden()); share += 0.002)
        await page.mouse.move(x + share * width, y + height - 8);
    await waitForText(page, "#flag-tip", /^long head, some of the points, step (9|1.0)\d\d – 1.0\d\d\n⚑ biased/);
    await page.evaluate(() => (location.hash = "runs=long&from=900&to=1100"));
    await waitForText(page, "#meaning-flags", /⚑ biased: .* 10 of \d+ points\./);
    await closePage(page);
});
