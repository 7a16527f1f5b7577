/* The limits that both sides of a border keep to, as INGEST.md and FEED.md state them: what a
 * trainer may send, what a reader may ask, what the daemon keeps. Constants alone. Texts that name
 * a limit are made from its constant. */
#pragma once

/* Names and texts, in bytes, without the closing NUL. */
#define TEXT_MAX        256
#define RUN_ID_MAX      64
#define WRITER_MAX      64
#define LAYER_NAME_MAX  128
#define SCALAR_NAME_MAX 128
#define LAUNCH_MAX      128

/* Seconds since 1970 until the year 10,000: a later time has no date, and is no clock's. */
#define TIME_MAX_S 253402300799

/* Layers of one run: a trainer that watches each module of a large model stays below. */
#define RUN_LAYERS_MAX 1024
/* Scalars of one log message. */
#define LOG_SCALARS_MAX 1024
/* Control messages of one run that wait for the disk. The store takes thousands a second, so a
 * trainer with so many on their way is faster than the disk. */
#define RUN_UNSTORED_MAX 4096
/* And what these hold in memory. Each may be 1 MiB, so their number alone bounds nothing: 300 of
 * them kept the acknowledgements of other trainers for 8 s. A mark of 1,024 layers takes 1.4 MB. */
#define RUN_UNSTORED_BYTES_MAX (64u << 20)
/* A summary or config costs the store its merging with all that is there: 0.15 s for 1 MiB. It
 * counts so many times its bytes, so 4 MiB of them may wait. */
#define RUN_CONSTANTS_WEIGHT 16
/* Ranks of the largest jobs there are. */
#define RUN_WORLD_MAX 65536
/* Members of one attempt. Each has a connection and at least 8 MiB of credit, so the daemon's
 * memory ends before: 4,096 of them are granted 32 GiB. A member takes 16 bytes in each layer, and
 * a row of 40 bytes in the store for each layer that a checkpoint names. */
#define RUN_MEMBERS_MAX 4096
/* Measures and scalars of one run that are watched for transitions. A detector is 35 KiB: a run of
 * 1,024 layers has 140 MiB of them at most. */
#define RUN_WATCHED_MAX 4
