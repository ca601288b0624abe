/* SPDX-License-Identifier: BSD-3-Clause */
/* clients/external.h: here, whoever waits looks at the page, as an external default client of the
 * stock driver does. */
#ifndef RELACY_SHIM_CLIENTS_EXTERNAL_H
#define RELACY_SHIM_CLIENTS_EXTERNAL_H

#include "clients/request.h"

struct external {
    int nothing;
};

static inline void external_offer(struct external *, const struct request *, uint64_t)
{
}

#endif
