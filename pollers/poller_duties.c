/* SPDX-License-Identifier: BSD-3-Clause */
/* poller.h's duties: the pages that a poller sweeps, and the clients whose requests or answers it takes
 * out of an inbox or a channel. */
#include "pollers/poller_internal.h"

#include <errno.h>

#define DUTY_TIMEOUT_NS    1000000000ull
#define SWEEPS_OF_ONE_PAGE 32u
#define SWEEPS_MIN         4u

/* What changes, and how it went. On control's stack: none of the functions below outlives its call. */
struct duty_change {
    struct poller *poller;
    struct page *page;
    struct client *client;
    struct notify_ring_port *port;
    int result;
};

/* What a round does besides costs as much as a sweep of a page or, where there are many pages, a quarter of
 * a sweep: one that spins does it the less often the fewer pages it has, unless somebody may wait in an
 * inbox. */
static void balance(struct poller *poller)
{
    bool does_more = poller->options.idle == POLLER_IDLE_SPIN && poller->inbox_count == 0 &&
                     poller->process_count == 0 && poller->page_count > 0;
    uint32_t sweeps = poller->page_count ? SWEEPS_OF_ONE_PAGE / poller->page_count : 0;
    if (sweeps < SWEEPS_MIN)
        sweeps = SWEEPS_MIN;
    poller->more_sweeps = poller->spare_sweeps = does_more ? sweeps - 1 : 0;
}

static void add_page(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    if (poller->page_count == POLLER_PAGES_MAX)
        change->result = -ENOSPC;
    else
        poller->pages[poller->page_count++] = change->page;
    balance(poller);
}

static void remove_page(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    for (uint32_t i = 0; i < poller->page_count; i++)
        if (poller->pages[i] == change->page)
            poller->pages[i] = poller->pages[--poller->page_count];
    balance(poller);
}

static void add_inbox(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    if (poller->inbox_count == POLLER_INBOXES_MAX)
        change->result = -ENOSPC;
    else
        poller->inboxes[poller->inbox_count++] = change->client;
    balance(poller);
}

static void remove_inbox(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    for (uint32_t i = 0; i < poller->inbox_count; i++)
        if (poller->inboxes[i] == change->client)
            poller->inboxes[i] = poller->inboxes[--poller->inbox_count];
    balance(poller);
}

static void add_process(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    if (poller->process_count == POLLER_INBOXES_MAX)
        change->result = -ENOSPC;
    else
        poller->processes[poller->process_count++] =
            (struct poller_process){change->client, change->page};
    balance(poller);
}

static void remove_process(void *context)
{
    struct duty_change *change = context;
    struct poller *poller = change->poller;
    for (uint32_t i = 0; i < poller->process_count; i++)
        if (poller->processes[i].client == change->client)
            poller->processes[i] = poller->processes[--poller->process_count];
    balance(poller);
}

static void submit_to(void *context)
{
    struct duty_change *change = context;
    change->poller->submits = change->port;
}

static int change_duty(struct duty_change change, void (*function)(void *context))
{
    int result = poller_call_brief(change.poller, function, &change, DUTY_TIMEOUT_NS);
    return result < 0 ? result : change.result;
}

int poller_add_page(struct poller *poller, struct page *page)
{
    return change_duty((struct duty_change){.poller = poller, .page = page}, add_page);
}

int poller_remove_page(struct poller *poller, struct page *page)
{
    return change_duty((struct duty_change){.poller = poller, .page = page}, remove_page);
}

int poller_add_inbox(struct poller *poller, struct client *client)
{
    return change_duty((struct duty_change){.poller = poller, .client = client}, add_inbox);
}

int poller_remove_inbox(struct poller *poller, struct client *client)
{
    return change_duty((struct duty_change){.poller = poller, .client = client}, remove_inbox);
}

int poller_add_process(struct poller *poller, struct client *client, struct page *page)
{
    return change_duty((struct duty_change){.poller = poller, .page = page, .client = client},
                       add_process);
}

int poller_remove_process(struct poller *poller, struct client *client)
{
    return change_duty((struct duty_change){.poller = poller, .client = client}, remove_process);
}

int poller_submit_to(struct poller *poller, struct notify_ring_port *port)
{
    return change_duty((struct duty_change){.poller = poller, .port = port}, submit_to);
}
