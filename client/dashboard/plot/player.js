/* Plays steps one after the other: a button, a pace, and a stop at the end, in a hidden tab and where
 * the owner says so. For readers who asked for less motion it goes one step a second at most. */

const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const CALM_A_SECOND = 1;

export class Player {
    /**
     * @param {HTMLElement} button
     * @param {{pace: () => number, advance: () => Promise<boolean>, onStop: () => void}} owner `pace`: steps
     *   a second; `advance` shows the next step, and says whether there was one
     */
    constructor(button, owner) {
        this.button = button;
        this.owner = owner;
        this.turn = 0;
        this.isPlaying = false;
        button.addEventListener("click", () => this.toggle());
        document.addEventListener("visibilitychange", () => document.hidden && this.stop());
        this.#tell();
    }

    toggle() {
        if (this.isPlaying) this.stop();
        else this.#play();
    }

    stop() {
        if (!this.isPlaying) return;
        this.isPlaying = false;
        this.turn++;
        this.#tell();
        this.owner.onStop();
    }

    async #play() {
        const turn = ++this.turn;

        this.isPlaying = true;
        this.#tell();
        while (turn === this.turn) {
            const began = performance.now();
            const pace = CALM.matches ? CALM_A_SECOND : this.owner.pace();
            const hasNext = await this.owner.advance().catch(() => false);
            const rest_ms = began + 1000 / pace - performance.now();
            if (turn !== this.turn) return;
            if (!hasNext) return this.stop();
            await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest_ms)));
        }
    }

    #tell() {
        this.button.textContent = this.isPlaying ? "❚❚ pause" : "▶ play";
    }
}
