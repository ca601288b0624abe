/* SPDX-License-Identifier: BSD-3-Clause */
/* pollers/process_serve.h and deadlines.h for clients that all live in one process and take their time:
 * what the loop needs to be compiled. */
#ifndef RELACY_SHIM_POLLERS_PROCESS_SERVE_H
#define RELACY_SHIM_POLLERS_PROCESS_SERVE_H

#include "clients/inbox.h"

struct channel;
struct page;

struct process_port {
    struct channel *channel;
    uint32_t held;
};

enum channel_answer_state { CHANNEL_NO_ANSWER = 0 };

static inline enum channel_answer_state channel_look(const struct channel *)
{
    return CHANNEL_NO_ANSWER;
}

static inline uint32_t process_owner(const struct client *)
{
    return 0;
}

static inline bool process_has_room(struct page *, struct client *)
{
    return true;
}

static inline void process_hand_over(struct page *, struct client *, const struct inbox_entry *)
{
    RL_ASSERT(!"there is no other process");
}

static inline uint32_t process_drain(struct page *, struct client *)
{
    return 0;
}

static inline uint32_t page_check_due(struct page *)
{
    return 0;
}

#endif
