/* The limits that both sides of a border keep to, as INGEST.md and FEED.md state them: what a
 * trainer may send, what a reader may ask, what the daemon keeps. Constants alone; no state, any
 * thread. */
#pragma once

/* Longest names, in bytes, without the closing NUL. */
#define RUN_ID_MAX      64
#define LAYER_NAME_MAX  128
#define SCALAR_NAME_MAX 128
