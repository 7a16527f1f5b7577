#include <errno.h>
#include <limits.h>
#include <string.h>

#include "daemon/loop/parts.h"
#include "proto/curve/joined.h"

/* Both sides of relays. Tested by tests/e2e/relay/test_a_relay_forwards_what_it_has.py and
 * test_relays_are_not_trusted.py. */

/* Batches that wait for the store, of all relays: each has one on its way, so this is so many
 * relays at once; a batch is 2 MiB as a rule. */
#define TAKES_MAX      64
#define TAKE_BYTES_MAX (192u << 20)

/* ---- what others relay ----------------------------------------------------------------------- */

static enum nack_code code_of(int rc)
{
    switch (rc) {
    case -ESTALE:
        return NACK_EFENCED;
    case -EPROTO:
    case -ELOOP:
        return NACK_EPROTO;
    case -ENOMEM:
        return NACK_EBUSY;
    default:
        return NACK_EIO;
    }
}

static void answer(struct loop *loop, const struct take *take, const struct store_task *task)
{
    struct control_place place = take_place(take);
    struct nack nack;

    if (task->rc == 0) {
        ingest_send_place(loop->ingest, take_peer(take), &place, take_runs_known(take));
        return;
    }
    nack_set(&nack, code_of(task->rc), "%s", task->why.text);
    ingest_send_nack(loop->ingest, take_peer(take), &nack);
}

static void on_taken(struct store_task *task)
{
    struct take *take = take_of(task);
    struct loop *loop = take_owner(take);

    loop->n_lent--;
    loop->n_takes--;
    loop->take_bytes -= take_size(take);
    if (loop->ingest)
        answer(loop, take, task);
    if (task->rc == 0 && take_feed_seq(take) > 0)
        feedhub_catch_up(loop->hub, take_feed_seq(take));
    take_free(take);
    loop_move_on(loop);
}

int loop_on_relay(void *arg, const struct take_request *request, struct nack *nack)
{
    struct loop *loop = arg;
    struct take_request whole = *request;
    char path[RELAY_PATH_SIZE];
    struct take *take;

    if (loop->config->is_read_only)
        return nack_set(nack, NACK_EACCES, "this daemon only reads, with --read-only on");
    if (loop->state != LOOP_RUNNING || loop->n_takes >= TAKES_MAX ||
        request->size > TAKE_BYTES_MAX - loop->take_bytes)
        return nack_set(nack, NACK_EBUSY, "too many batches wait for the disk");
    relay_path(loop->relay, path);
    whole.owner = loop;
    whole.path = path;
    take = take_new(&whole);
    if (!take)
        return nack_set(nack, NACK_EBUSY, "the daemon is out of memory");
    loop->n_lent++;
    loop->n_takes++;
    loop->take_bytes += take_size(take);
    take_task(take)->done = on_taken;
    store_lane_do(loop->store, take_task(take));
    return 0;
}

/* ---- what goes on ---------------------------------------------------------------------------- */

/* The file of the keys: as it was named, or where `richctl join` puts it. */
static void find_keys(const struct loop *loop, char path[PATH_MAX])
{
    const char *named = loop->config->value[OPTION_UPSTREAM_KEYS];

    *path = '\0';
    if (named)
        snprintf(path, PATH_MAX, "%s", named);
    else if (upstream_path(path, PATH_MAX) < 0 || !joined_exists(path))
        joined_path(path, PATH_MAX);
}

int loop_open_relay(struct loop *loop, struct err *err)
{
    const char *address = loop->config->value[OPTION_UPSTREAM];
    char keys[PATH_MAX];
    struct relay_config config = {.address = address,
                                  .keys = keys,
                                  .path = loop->store_path,
                                  .store = store_lane_store(loop->store)};

    if (!address || strcmp(address, "off") == 0)
        return 0;
    find_keys(loop, keys);
    return relay_open(&config, &loop->relay, err);
}
