#include "daemon/feed/parts.h"
#include "daemon/format/model_json.h"
#include "proto/json.h"

cJSON *feed_answer_hello(const struct feed_client *client)
{
    cJSON *object = cJSON_CreateObject();

    if (object && cJSON_AddStringToObject(object, "server", "richd") &&
        cJSON_AddStringToObject(object, "version", RICHD_VERSION) &&
        json_add_integer(object, "protocol_min", 1) &&
        json_add_integer(object, "protocol_max", 1) &&
        json_add_counter(object, "seq", store_feed_seq(client->hub->store)) &&
        cJSON_AddBoolToObject(object, "may_write", feed_may_write(client)))
        return object;
    cJSON_Delete(object);
    return NULL;
}

cJSON *feed_answer_status(const struct feed_client *client)
{
    const struct feedhub *hub = client->hub;
    cJSON *object = cJSON_CreateObject();

    if (object)
        hub->on_status(hub->status_arg, feed_may_write(client), object);
    return object;
}

cJSON *feed_answer_metrics(void)
{
    return metrics_to_json();
}
