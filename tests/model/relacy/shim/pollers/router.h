/* SPDX-License-Identifier: BSD-3-Clause */
/* pollers/router.h with a table of one route, which says whether it may be looked into. */
#ifndef RELACY_SHIM_POLLERS_ROUTER_H
#define RELACY_SHIM_POLLERS_ROUTER_H

#include "clients/client.h"

struct router_route {
    uint64_t first;
    struct client *client;
    uint32_t range_index;
};

struct router {
    shim::plain<bool> is_alive; /* written when built and when freed */
    struct router_route route;
};

struct router_hint {
    uint64_t state;
};

static inline bool router_find_again(const struct router *router, struct router_hint *, uint32_t,
                                     uint64_t, uint32_t, struct router_route *route)
{
    RL_ASSERT(router->is_alive);
    *route = router->route;
    return route->client != NULL;
}

#endif
