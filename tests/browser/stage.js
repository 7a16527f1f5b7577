/* What a file of tests plays on: one daemon, one trainer, the browser; and the table of runs, which
 * several of them read. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";

import { closeBrowser, Daemon, openPage, Player } from "./harness.js";

export const HEAD = "#runs-table-head th";
export const ROWS = "#runs-table-rows tr[data-row]";

/**
 * Starts them before the tests of the file and ends them behind. `owner` is the link of the page; with
 * tokens it writes, and `reader` is that of one who only reads.
 * @param {(stage: {daemon: Daemon, player: Player, owner: string, reader: string}) => Promise<void>} [play] what the
 *   trainer does first
 * @param {{tokens?: boolean}} [options] @returns {{daemon: Daemon, player: Player, owner: string, reader: string}}
 */
export function useStage(play = async () => {}, { tokens = false } = {}) {
    const stage = /** @type {any} */ ({});

    before(async () => {
        stage.daemon = new Daemon();
        if (tokens) stage.daemon.http = "on"; // with tokens of its own
        await stage.daemon.start();
        Object.assign(stage, tokens ? linksOf(stage.daemon) : { owner: stage.daemon.url });
        stage.player = new Player(stage.daemon);
        await play(stage);
    });
    after(async () => {
        await closeBrowser();
        await stage.player?.close();
        await stage.daemon?.close();
    });
    return stage;
}

function linksOf({ folder, url }) {
    const { page } = JSON.parse(readFileSync(join(folder, "endpoints.json"), "utf8"));
    const lines = readFileSync(join(folder, "state", "page.token"), "utf8").trim().split("\n");

    return { owner: page, reader: `${url}#token=${lines.find((line) => line.startsWith("read ")).slice(5)}` };
}

/** A page with its table of runs open, and read. @param {string} link @param {object} [options] */
export async function openTable(link, options) {
    const page = await openPage(link, options);

    await page.waitForSelector("#live[data-state=live]");
    await page.evaluate(() => (document.getElementById("runs-table").open = true));
    await page.waitForSelector(`${ROWS} button`);
    return page;
}

/** The cells of a column, in the order of the rows. In one go: the table puts other cells there when it is drawn. */
export function column(page, key) {
    return page.evaluate((name) => {
        const place = [...document.querySelectorAll("#runs-table-head > *")].findIndex((cell) => cell.dataset.key === name);
        return [...document.querySelectorAll("#runs-table-rows tr[data-row]")].map((row) => row.cells[place]?.textContent);
    }, key);
}
