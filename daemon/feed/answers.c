#include "daemon/feed/parts.h"
#include "daemon/format/model_json.h"
#include "proto/json.h"

cJSON *feed_answer_hello(const struct feedhub *h)
{
    cJSON *o = cJSON_CreateObject();

    if (o && cJSON_AddStringToObject(o, "server", "richd") &&
        cJSON_AddStringToObject(o, "version", RICHD_VERSION) &&
        json_add_integer(o, "protocol_min", 1) && json_add_integer(o, "protocol_max", 1) &&
        json_add_counter(o, "seq", store_feed_seq(h->store)))
        return o;
    cJSON_Delete(o);
    return NULL;
}

cJSON *feed_answer_status(const struct feedhub *h)
{
    cJSON *o = cJSON_CreateObject();

    if (o)
        h->on_status(h->status_arg, o);
    return o;
}

cJSON *feed_answer_metrics(void)
{
    return metrics_to_json();
}
