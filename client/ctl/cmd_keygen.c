/* richctl keygen [NAME]: a pair of keys in the file NAME.key (mode 0600). Its public key is
 * printed, for authorised_keys of a daemon; where both hosts are at hand, invite and join are
 * shorter. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/text.h"
#include "proto/curve/keyfile.h"

struct made {
    const char *file, *key;
};

static bool fill(cJSON *object, const void *what)
{
    const struct made *made = what;

    return cJSON_AddStringToObject(object, "file", made->file) &&
           cJSON_AddStringToObject(object, "public_key", made->key);
}

int cmd_keygen(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *name = options->n_words > 1 ? options->words[1] : "richd";
    struct keyfile keys = {.public_key = ""};
    char path[PATH_MAX];
    int rc;

    (void)feed;
    if (snprintf(path, sizeof path, "%s.key", name) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "the name is too long");
    rc = keyfile_make_pair(&keys, err);
    if (rc == 0)
        rc = keyfile_write(path, &keys, options->yes, err);
    if (rc == -EEXIST)
        return err_set(err, rc, "%s is there already, and may be in use; --yes replaces it", path);
    if (rc < 0)
        return rc;
    if (options->json)
        return jsonline_make(fill, &(struct made){path, keys.public_key}, stdout, err);
    printf("%s\n", keys.public_key);
    return 0;
}
