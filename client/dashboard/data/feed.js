/* The socket to the daemon: JSON-RPC of proto/FEED.md over a WebSocket beside this page. It connects
 * again by itself, and goes on with its subscriptions where they stopped (`since_seq`), so that
 * nobody above it misses a point or sees one twice. */

const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 5000;
/* A connection that is silent for so long is asked for a sign of life, and cut without one. */
const QUIET_MS = 10000;
const ANSWER_MS = 15000;
const FAILURES_TO_ASK = 3;
const NOT_ALLOWED = -32003;
/* Says that hello comes first and may hold a token: a browser can set no header (HTTP.md). */
const TOKEN_PROTOCOL = "richd.token";

/** The daemon's answer was an error. */
export class FeedError extends Error {
    /** @param {{code: number, message: string}} error */
    constructor(error) {
        super(error.message);
        this.code = error.code;
    }
}

/** The connection broke while a change was out. It may have been made or not: ask what is stored. */
export class UnknownOutcome extends Error {}

/** @typedef {{method: string, update: string, seq: string|null, sub: number|null, take: (page: any) => void}} Subscription */

/**
 * Events: "live" (connected, subscriptions resumed), "stale" (connection lost), "token" (the daemon
 * asks for one; set `feed.token` and call `feed.connect()`), "blocked" (the daemon answers, but no
 * WebSocket comes through: a proxy is in the way), "deleted" (detail: the id of a run that has left).
 */
export class Feed extends EventTarget {
    /** @param {string} address */
    constructor(address) {
        super();
        this.address = address;
        /** @type {string|null} */ this.token = null;
        /** @type {WebSocket|null} */ this.socket = null;
        this.isLive = false;
        /** Whether this connection may change what is stored. */ this.mayWrite = false;
        /** Connections that failed since there was one. */ this.n_failed = 0;
        /** When something was last heard, in ms of performance.now(). */
        this.heard = performance.now();
        this.retry_ms = RETRY_FIRST_MS;
        this.lastId = 0;
        /** @type {Map<number, {resolve: Function, reject: Function, text: string, isOfConnection: boolean}>} */
        this.waiting = new Map();
        /** What waits until no other answer is out, by its text. @type {Map<string, {answer: Promise<any>, go: Function}>} */
        this.patient = new Map();
        /** @type {Subscription[]} */
        this.subscriptions = [];
        this.timer = 0;
        setInterval(() => this.#checkLife(), QUIET_MS / 2);
        addEventListener("online", () => this.#retryNow());
        document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
    }

    connect() {
        clearTimeout(this.timer);
        const socket = new WebSocket(this.address, TOKEN_PROTOCOL);

        this.socket = socket;
        socket.onopen = () => this.#begin(socket);
        socket.onmessage = (event) => this.socket === socket && this.#take(event.data);
        socket.onclose = () => this.socket === socket && this.#lost();
    }

    /**
     * Asks what only reads; the promise fails with a FeedError. A question that is out when the
     * connection breaks is asked again on the next one.
     * @param {string} method @param {object} [params] @returns {Promise<any>}
     */
    call(method, params = {}) {
        const { answer, text } = this.#question(method, params, false);

        if (this.isLive) this.socket.send(text);
        return answer;
    }

    /**
     * As call(), once no other answer is out: for what stands below the chart, so that the chart comes
     * first, because the daemon answers in order. Asked twice meanwhile, it is one question.
     * @param {string} method @param {object} [params] @returns {Promise<any>}
     */
    callLater(method, params = {}) {
        const key = JSON.stringify([method, params]);
        let go;

        if (!this.patient.has(key)) {
            const turn = new Promise((resolve) => (go = resolve));
            this.patient.set(key, { answer: turn.then(() => this.call(method, params)), go });
            this.#relieve();
        }
        return this.patient.get(key).answer;
    }

    /* Once those who got the last answer have asked their next question. */
    #relieve() {
        setTimeout(() => {
            if (!this.isLive || this.waiting.size > 0) return;
            for (const { go } of this.patient.values()) go();
            this.patient.clear();
        });
    }

    /**
     * Changes something, at most once: without a connection it fails at once, and with an
     * UnknownOutcome when the connection breaks before the answer.
     * @param {string} method @param {object} params @returns {Promise<any>}
     */
    change(method, params) {
        if (!this.isLive) return Promise.reject(new Error("There is no connection; nothing was changed."));
        const { answer, text } = this.#question(method, params, true);

        this.socket.send(text);
        return answer;
    }

    #question(method, params, isOfConnection) {
        const id = ++this.lastId;
        const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
        const answer = new Promise((resolve, reject) =>
            this.waiting.set(id, { resolve, reject, text, isOfConnection }),
        );

        return { answer, text };
    }

    /**
     * Subscribes from `seq` on, now and after each reconnection.
     * @param {"series"|"event"} what @param {string} seq @param {(page: any) => void} take
     */
    subscribe(what, seq, take) {
        const subscription = {
            method: `${what}.subscribe`,
            update: `${what}.update`,
            seq,
            sub: null,
            take,
        };

        this.subscriptions.push(subscription);
        if (this.isLive) this.#resume(subscription).catch(() => {}); // the next connection will
    }

    /** As call(), past the queue: for what has to come first on a connection. */
    #callNow(method, params) {
        const { answer, text } = this.#question(method, params, true);

        this.socket.send(text);
        return answer;
    }

    async #begin(socket) {
        try {
            const hello = await this.#callNow("server.hello", {
                client: "richd-page",
                ...(this.token ? { token: this.token } : {}),
            });
            for (const s of this.subscriptions) await this.#resume(s);
            if (this.socket !== socket) return;
            this.isLive = true;
            this.mayWrite = hello.may_write === true;
            this.n_failed = 0;
            this.retry_ms = RETRY_FIRST_MS;
            for (const q of this.waiting.values()) if (!q.isOfConnection) socket.send(q.text);
            this.dispatchEvent(new CustomEvent("live", { detail: hello }));
            this.#relieve();
        } catch {
            socket.close();
        }
    }

    #askForToken() {
        const socket = this.socket;

        this.socket = null; // its end is expected, and no other try would fare better
        socket.close();
        this.#giveUpOnConnection();
        this.dispatchEvent(new Event("token"));
    }

    /* What was asked of this connection alone is not asked again. */
    #giveUpOnConnection() {
        for (const [id, q] of this.waiting) {
            if (!q.isOfConnection) continue;
            this.waiting.delete(id);
            q.reject(new UnknownOutcome("The connection broke before the answer."));
        }
    }

    async #resume(subscription) {
        const page = await this.#callNow(subscription.method, { since_seq: subscription.seq });

        subscription.sub = page.sub;
        this.#deliver(subscription, page);
    }

    #deliver(subscription, page) {
        subscription.seq = page.seq;
        subscription.take(page);
    }

    #take(text) {
        const message = JSON.parse(text);

        this.heard = performance.now();
        if (message.method === "run.deleted") {
            this.dispatchEvent(new CustomEvent("deleted", { detail: message.params.run }));
            return;
        }
        if (message.id === undefined) {
            const found = this.subscriptions.find(
                (s) => s.update === message.method && s.sub === message.params.sub,
            );
            if (found) this.#deliver(found, message.params);
            return;
        }
        const question = this.waiting.get(message.id);
        if (!question && message.error?.code === NOT_ALLOWED) this.#askForToken(); // to whatever came first
        if (!question) return;
        this.waiting.delete(message.id);
        if (message.error) question.reject(new FeedError(message.error));
        else question.resolve(message.result);
        if (this.patient.size) this.#relieve();
    }

    #lost() {
        this.socket = null;
        this.#giveUpOnConnection();
        if (this.isLive) {
            this.isLive = false;
            this.dispatchEvent(new Event("stale"));
        } else this.#askWithoutSocket();
        this.timer = setTimeout(() => this.connect(), this.retry_ms * (0.75 + Math.random() / 2));
        this.retry_ms = Math.min(this.retry_ms * 2, RETRY_LAST_MS);
    }

    /* A daemon that just starts would have taken the next connection. */
    async #askWithoutSocket() {
        if (++this.n_failed < FAILURES_TO_ASK) return;
        const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
        const answer = await fetch("api/v1/status", { headers }).catch(() => null);

        if (answer && [200, 401, 403].includes(answer.status) && !this.isLive)
            this.dispatchEvent(new Event("blocked"));
    }

    #retryNow() {
        if (this.socket) return;
        this.retry_ms = RETRY_FIRST_MS;
        this.connect();
    }

    /* A laptop that slept, a tunnel that is gone: the socket looks open and nothing comes. */
    #checkLife() {
        const quiet = performance.now() - this.heard;

        if (!this.isLive || quiet < QUIET_MS) return;
        if (quiet > QUIET_MS + ANSWER_MS) {
            const socket = this.socket;
            this.#lost();
            socket.onclose = null;
            socket.close();
        } else this.call("server.hello").catch(() => {});
    }
}

/** The socket's address beside the page, whatever prefix a proxy has put before it. */
export function feedAddress() {
    const url = new URL("ws", location.href);

    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = url.search = "";
    return url.href;
}
