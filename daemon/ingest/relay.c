#include "daemon/ingest/parts.h"
#include "proto/control.h"

/* What relays say (RELAY.md). A relay is no trainer: it opens no run, and the core never
 * hears of it. Tested by tests/e2e/relay/test_relays_are_not_trusted.py. */

static void read_relay(const struct control_relay *relay, struct take_request *out)
{
    out->source = relay->source;
    out->session = relay->session;
    out->again = relay->again;
}

static void read_batch(const struct control_batch *batch, struct incoming *message,
                       struct take_request *out)
{
    out->source = batch->source;
    out->session = batch->session;
    out->batch = batch->batch;
    out->feed_seq = batch->feed_seq;
    out->data = zmq_msg_data(&message->frames[1]);
    out->size = zmq_msg_size(&message->frames[1]);
}

int ingest_take_relay(struct ingest *ingest, peer_id peer, const struct control *control,
                      struct incoming *message, struct nack *nack)
{
    struct take_request request = {.peer = peer,
                                   .projects = message->who ? message->who->projects : NULL};

    if (!ingest->on_relay)
        return nack_set(nack, NACK_EPROTO, "this daemon takes no relays");
    if (control->type == CONTROL_RELAY && control->relay.version > CONTROL_RELAYS)
        return nack_set(nack, NACK_EVERSION,
                        "relays of version %lld are newer than this daemon, which takes version"
                        " %d: update it",
                        (long long)control->relay.version, CONTROL_RELAYS);
    ingest->places[peer % PEER_PLACES].is_relay = true;
    if (control->type == CONTROL_RELAY)
        read_relay(&control->relay, &request);
    else
        read_batch(&control->batch, message, &request);
    return ingest->on_relay(ingest->arg, &request, nack);
}

void ingest_send_place(struct ingest *ingest, peer_id peer, const struct control_place *place,
                       const struct cbor *known)
{
    ingest_send_pair(ingest, peer, control_encode_place(place),
                     known && known->size > 0 ? known : NULL);
}
